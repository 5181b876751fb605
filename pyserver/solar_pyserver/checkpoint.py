"""The check that a checkpoint holds all weights that the model needs. Weights that it lacks would be random numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .errors import ExitCode, StartupError

SHOWN = 3

# Names that only quantized checkpoints have, and the method that writes them.
QUANTIZED_NAMES = (
    (r"\.(qweight|qzeros|g_idx)$", "GPTQ or AWQ"),
    (r"\.(weight_packed|weight_shape|weight_zero_point)$", "compressed-tensors"),
    (r"\.(weight_scale_inv|weight_scale|input_scale)$", "FP8"),
    (r"\.(SCB|weight_format)$", "bitsandbytes 8-bit"),
    (r"\.weight\.(absmax|quant_map|nested_absmax|nested_quant_map|quant_state\..*)$", "bitsandbytes 4-bit"),
    (r"_(blocks|scales)$", "MXFP4"),
    (r"\.(W_q|scales|scale|zero_point)$", "another quantization"),
)


def require_weights(model: Any, report: Mapping[str, Any], name: str, task: str) -> None:
    """Raises `StartupError` for weights that are absent, of another size, or of a quantization that is not undone.

    `report` is what `from_pretrained` gives with `output_loading_info`.
    """
    quantized = getattr(model.config, "quantization_config", None) is not None
    problem = (
        size_problem(report["mismatched_keys"])
        or missing_problem(made_anew_wrongly(model, report["missing_keys"], quantized), model.base_model_prefix, task)
        or ("" if quantized else quantization_problem(report["unexpected_keys"]))
    )
    if not problem:
        return
    # Names that are there instead tell why others are missing.
    hint = "" if quantized else quantization_problem(report["unexpected_keys"])
    if hint and hint != problem:
        problem = f"{problem}; {hint}"
    raise StartupError(ExitCode.MODEL, f"cannot load model {name}: {problem}")


def made_anew_wrongly(model: Any, missing: Iterable[str], quantized: bool) -> list[str]:
    """The missing names, less those of buffers that the code computes: positions, masks, rotary frequencies.

    Weights that are tied to others are not reported as missing. A quantization method fills in its own scales.
    """
    buffers = dict(model.named_buffers())

    def computed(name: str) -> bool:
        if quantized and name.endswith(("scale", "zero_point")):
            return True
        buffer = buffers.get(name)
        return buffer is not None and (
            not buffer.is_floating_point() or name.endswith(("inv_freq", "masked_bias", "attn.bias"))
        )

    return sorted(name for name in missing if not computed(name))


def missing_problem(missing: Sequence[str], body: str, task: str) -> str:
    """A missing head means a checkpoint of another kind, a missing part of the body a damaged one. Empty for none."""
    if not missing:
        return ""
    listed = _listed(missing)
    if not any(name.startswith(f"{body}.") for name in missing):
        kind = "text generation" if task == "causal" else "classification"
        return f"it is no {kind} model: it lacks {listed}"
    return f"the checkpoint lacks weights, which would be random numbers: {listed}"


def size_problem(mismatched: Iterable[tuple[str, Sequence[int], Sequence[int]]]) -> str:
    """Which sizes differ; empty for none. Each entry is a name, the checkpoint's size and that of config.json."""
    found = sorted((name, list(there), list(asked)) for name, there, asked in mismatched)
    if not found:
        return ""
    sizes = [f"{name} is {there} in the checkpoint and {asked} by config.json" for name, there, asked in found]
    return _listed(sizes)


def quantization_problem(unexpected: Iterable[str]) -> str:
    """Which name belongs to a quantization; empty for none. Read as plain weights it gives nonsense, and no error."""
    for name in sorted(unexpected):
        for pattern, method in QUANTIZED_NAMES:
            if re.search(pattern, name):
                return f"the checkpoint has {name}, a name of {method}, but config.json has no quantization_config"
    return ""


def unused_notice(unexpected: Iterable[str]) -> str:
    """What the log should say of weights that the model has no place for: config.json may not be theirs."""
    names = sorted(unexpected)
    return f"the model by config.json has no place for weights of the checkpoint: {_listed(names)}" if names else ""


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
