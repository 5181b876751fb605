"""Which device, dtype, attention and context to use. Only decisions: no hardware is touched here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .errors import ExitCode, StartupError

GPU_FILL = 0.85


@dataclass(frozen=True)
class Hardware:
    """What the machine has. `cpu_half` are the half-precision types that the CPU has instructions for."""

    cuda: bool = False
    cuda_capability: tuple[int, int] = (0, 0)
    cuda_bfloat16: bool = False
    cuda_devices: int = 0
    cuda_free_bytes: int = 0
    mps: bool = False
    mps_bfloat16: bool = False
    cpu_half: frozenset[str] = frozenset()
    flash_attention: bool = False
    accelerate: bool = False


def choose_device(wanted: str, hardware: Hardware) -> str:
    """`auto` is CUDA, then MPS, then CPU. Raises `StartupError` for a device that is asked for and absent."""
    if wanted == "auto":
        return "cuda" if hardware.cuda else "mps" if hardware.mps else "cpu"
    if wanted == "cuda" and not hardware.cuda:
        raise StartupError(ExitCode.USAGE, "--device cuda: this Python's torch sees no CUDA device")
    if wanted == "mps" and not hardware.mps:
        raise StartupError(ExitCode.USAGE, "--device mps: this Python's torch sees no MPS device")
    return wanted


def choose_dtype(wanted: str, device: str, checkpoint: str | None, hardware: Hardware) -> str:
    """`auto` is the checkpoint's own where the device computes in it; a CPU without half precision gets float32.

    A bfloat16 checkpoint on an accelerator that lacks it becomes float16, which has the same size.
    """
    if wanted != "auto":
        return wanted
    own = checkpoint if checkpoint in ("float16", "bfloat16", "float32") else "float32"
    if device == "cpu":
        return own if own == "float32" or own in hardware.cpu_half else "float32"
    has_bfloat16 = hardware.cuda_bfloat16 if device == "cuda" else hardware.mps_bfloat16
    return "float16" if own == "bfloat16" and not has_bfloat16 else own


def attention_order(flash_wanted: bool, device: str, dtype: str, hardware: Hardware) -> list[str]:
    """Implementations to try, best first. flash_attention_2 needs its package, Ampere or newer, and half precision."""
    flash = (
        flash_wanted
        and device == "cuda"
        and hardware.flash_attention
        and hardware.cuda_capability >= (8, 0)
        and dtype in ("float16", "bfloat16")
    )
    return [*(["flash_attention_2"] if flash else []), "sdpa", "eager"]


def choose_placement(device: str, checkpoint_bytes: int | None, hardware: Hardware) -> str:
    """The device map: the first visible GPU, or `auto` (spread over all) where the weights do not fit it.

    Spreading needs accelerate and several GPUs. A checkpoint of unknown size is taken to fit.
    """
    if device != "cuda":
        return device
    fits = checkpoint_bytes is None or checkpoint_bytes <= GPU_FILL * hardware.cuda_free_bytes
    return "cuda:0" if fits or hardware.cuda_devices < 2 or not hardware.accelerate else "auto"


def choose_context(max_length: int, own_limits: Sequence[object]) -> int:
    """The smallest of the setting and the model's own limits, in tokens. A limit of 1e30 means none."""
    limits = [limit for limit in own_limits if isinstance(limit, int) and 0 < limit < 10**9]
    return min([max_length, *limits])


def choose_labels(asked: Sequence[str] | None, own: Sequence[str]) -> tuple[str, ...]:
    """The names given, else the model's. Raises `StartupError` where their number is not the model's."""
    if asked is None:
        return tuple(own)
    if len(asked) != len(own):
        raise StartupError(ExitCode.LABELS, f"--labels has {len(asked)} names, but the model has {len(own)} classes")
    return tuple(asked)


def choose_activation(problem_type: str | None, classes: int) -> str:
    """`softmax`, `sigmoid` or `none`: how logits become scores, as in transformers' own pipeline."""
    if problem_type == "regression":
        return "none"
    if problem_type == "multi_label_classification" or classes == 1:
        return "sigmoid"
    return "softmax"
