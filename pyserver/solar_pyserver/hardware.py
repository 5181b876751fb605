"""What the machine has: devices, their abilities and their free memory."""

from __future__ import annotations

import importlib.util

import torch

from .decisions import Hardware
from .host_memory import host_free_bytes


def find_hardware() -> Hardware:
    """Asks torch and the installed packages. The first question to a GPU takes it some hundred megabytes."""
    cuda = torch.cuda.is_available()
    mps = torch.backends.mps.is_available()
    return Hardware(
        cuda=cuda,
        cuda_capability=torch.cuda.get_device_capability() if cuda else (0, 0),
        cuda_bfloat16=cuda and torch.cuda.is_bf16_supported(),
        cuda_devices=torch.cuda.device_count() if cuda else 0,
        # Only the first: asking costs each GPU a context of some hundred megabytes.
        cuda_free_bytes=torch.cuda.mem_get_info(0)[0] if cuda else 0,
        mps=mps,
        mps_bfloat16=mps and bool(torch.backends.mps.is_macos_or_newer(14, 0)),
        cpu_half=_cpu_half(),
        flash_attention=importlib.util.find_spec("flash_attn") is not None,
        accelerate=importlib.util.find_spec("accelerate") is not None,
    )


def free_bytes(placement: str) -> int | None:
    """Bytes that are free now where the model is; None where that is unknown.

    What torch's allocator keeps without using it is free to this process.
    """
    if placement == "auto":
        return min(_cuda_free(torch.device("cuda", at)) for at in range(torch.cuda.device_count()))
    if placement.startswith("cuda"):
        return _cuda_free(torch.device(placement))
    if placement == "mps":
        return max(0, torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return host_free_bytes()


def _cuda_free(device: torch.device) -> int:
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + kept


def _cpu_half() -> frozenset[str]:
    """Half-precision types with instructions of their own: emulated ones are several times slower than float32."""
    instructions = {
        "bfloat16": ("_is_avx512_bf16_supported", "_is_amx_tile_supported"),
        "float16": ("_is_avx512_fp16_supported", "_is_amx_fp16_supported"),
    }
    return frozenset(
        name for name, checks in instructions.items() if any(getattr(torch.cpu, check, bool)() for check in checks)
    )
