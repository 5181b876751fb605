"""Defaults of sampling that a checkpoint's generation_config gives, for what a request does not say."""

from __future__ import annotations

from typing import Any

from .sampling import SamplingParams


def told_defaults(generation_config: Any) -> dict[str, Any]:
    """The settings that differ from the defaults of the class: those say nothing about this checkpoint."""
    if generation_config is None:
        return {}
    told = generation_config.to_diff_dict()
    penalty = told.get("repetition_penalty")
    # Temperature and top_p are OpenAI's own unless a request says otherwise. A penalty of 0 divides by zero.
    found: dict[str, Any] = {"repetition_penalty": penalty} if penalty is not None and penalty > 0 else {}
    if told.get("suppress_tokens"):
        found["suppressed"] = tuple(int(token) for token in told["suppress_tokens"])
    return found


def sampling_defaults(told: dict[str, Any], vocabulary: int) -> SamplingParams:
    """The settings as parameters. Suppressed ids outside the vocabulary are left out: they are of another tokenizer."""
    suppressed = tuple(token for token in told.get("suppressed", ()) if 0 <= token < vocabulary)
    return SamplingParams(**{**told, "suppressed": suppressed})
