"""How a checkpoint wants its tokens chosen where a request does not say: its generation_config."""

from __future__ import annotations

from typing import Any

from .sampling import SamplingParams

# The same fields that other servers take from there. `do_sample` is not one: a request says it by its temperature.
FIELDS = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")


def told_defaults(generation_config: Any) -> dict[str, Any]:
    """What differs from the class's own defaults, for those are nobody's wish."""
    if generation_config is None:
        return {}
    told = generation_config.to_diff_dict()
    found = {name: told[name] for name in FIELDS if told.get(name) is not None}
    if told.get("suppress_tokens"):
        found["suppressed"] = tuple(int(token) for token in told["suppress_tokens"])
    return found


def sampling_defaults(told: dict[str, Any], vocabulary: int) -> SamplingParams:
    """Ids outside the vocabulary, as of a config made for another tokenizer, suppress nothing."""
    suppressed = tuple(token for token in told.get("suppressed", ()) if 0 <= token < vocabulary)
    return SamplingParams(**{**told, "suppressed": suppressed})
