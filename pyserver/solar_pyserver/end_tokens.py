"""Which tokens end an answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def end_tokens(model: Any, tokenizer: Any, config_file: Mapping[str, Any]) -> frozenset[int]:
    """Token ids of generation_config.json, else of config.json, and the tokenizer's own.

    A fine-tuned model often has its new end token in its tokenizer only. The defaults of the config's class count
    only where nothing is said: they are the ids of the first model of its family. `config_file` is config.json.
    """
    said = _generation_file(model) or _ids(config_file) or _ids(config_file.get("text_config"))
    found = {*said, *_ids({"eos_token_id": getattr(tokenizer, "eos_token_id", None)})}
    if not found:
        found = {*_ids({"eos_token_id": getattr(model.config.get_text_config(), "eos_token_id", None)})}
    return frozenset(found)


def _generation_file(model: Any) -> list[int]:
    """The ids of generation_config.json. Without that file transformers makes up a config, which does not count."""
    config = getattr(model, "generation_config", None)
    if config is None or getattr(config, "_from_model_config", False):
        return []
    return _ids({"eos_token_id": config.eos_token_id})


def _ids(holder: object) -> list[int]:
    value = holder.get("eos_token_id") if isinstance(holder, Mapping) else None
    values = value if isinstance(value, list) else [value]
    return [token for token in values if isinstance(token, int) and token >= 0]
