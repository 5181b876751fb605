"""Runs a classifier over a batch: pads, computes and turns logits into scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .classification_worker import Encoding


class Scorer:
    """A classifier with its padding and its activation (`softmax`, `sigmoid` or `none`).

    The padding is the id in the model's config: a head may look for the last token before it. `left` is its side. A
    `sparse` model (BigBird) changes to full attention at a short text and would stay so; each pass sets it back.
    """

    def __init__(self, model: Any, tokenizer: Any, activation: str) -> None:
        self.model = model
        self.left = getattr(tokenizer, "padding_side", "right") == "left"
        self._activation = activation
        self._device = next(model.parameters()).device
        self._own_padding = getattr(model.config, "pad_token_id", None)
        self.padding = self._usable(self._own_padding)
        if self.padding is None:
            self.padding = self._usable(getattr(tokenizer, "pad_token_id", None))
        self._fill = {
            "input_ids": self.padding or 0,
            "attention_mask": 0,
            "token_type_ids": getattr(tokenizer, "pad_token_type_id", 0),
        }
        self._sparse = None
        if getattr(model.config, "attention_type", None) == "block_sparse":
            self._sparse = next((part for part in model.modules() if hasattr(part, "set_attention_type")), None)

    @property
    def sparse(self) -> bool:
        """Whether the model's attention changes with the length of the texts."""
        return self._sparse is not None

    def _usable(self, token: Any) -> int | None:
        size = getattr(self.model.config.get_text_config(), "vocab_size", None)
        return token if isinstance(token, int) and 0 <= token < (size or 2**31) else None

    def know_padding(self) -> None:
        """Sets the padding in the config. Heads that look for the last token refuse batches without it."""
        self.model.config.pad_token_id = self.padding

    def forget_padding(self) -> None:
        """Puts the config's own padding back."""
        self.model.config.pad_token_id = self._own_padding

    def __call__(self, batch: Sequence[Encoding]) -> list[list[float]]:
        logits = self.logits(batch)
        if not bool(torch.isfinite(logits).all()):
            raise RuntimeError("the logits are not finite numbers (try another dtype)")
        if self._activation == "softmax":
            logits = torch.softmax(logits, dim=-1)
        elif self._activation == "sigmoid":
            logits = torch.sigmoid(logits)
        scores: list[list[float]] = logits.tolist()
        return scores

    def logits(self, batch: Sequence[Encoding]) -> Tensor:
        """The logits of a batch: texts x classes, float32. Shorter texts are padded."""
        longest = max(len(encoding["input_ids"]) for encoding in batch)
        inputs = {
            name: torch.tensor([self._pad(encoding[name], longest, fill) for encoding in batch], device=self._device)
            for name, fill in self._fill.items()
            if name in batch[0]
        }
        if all(len(encoding["input_ids"]) == longest for encoding in batch):
            # Nothing is padded: without a mask the attention takes its fastest way.
            inputs.pop("attention_mask", None)
        if self._sparse is not None:
            self._sparse.set_attention_type("block_sparse")
        logits: Tensor = self.model(**inputs).logits
        return logits.float()

    def _pad(self, values: list[int], length: int, fill: int) -> list[int]:
        padding = [fill] * (length - len(values))
        return padding + values if self.left else values + padding
