"""Defaults of sampling that a checkpoint's generation_config gives, for what a request does not say."""

from __future__ import annotations

from typing import Any

from .sampling import SamplingParams

# Settings that change even a greedy answer and that are not applied here, with the value that switches each off.
NOT_APPLIED: dict[str, object] = {
    "bad_words_ids": [],
    "begin_suppress_tokens": [],
    "exponential_decay_length_penalty": None,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
    "guidance_scale": 1,
    "min_length": 0,
    "min_new_tokens": 0,
    "no_repeat_ngram_size": 0,
    "num_beams": 1,
    "sequence_bias": {},
}


def told_in_vain(generation_config: Any) -> str:
    """What the log should say of settings that are not applied; mostly nothing."""
    told = {} if generation_config is None else generation_config.to_diff_dict()
    names = [name for name, off in NOT_APPLIED.items() if told.get(name) not in (None, off)]
    return f"generation_config.json sets what is not applied here: {', '.join(names)}" if names else ""


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
