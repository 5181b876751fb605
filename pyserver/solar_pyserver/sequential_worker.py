"""Generation for models whose rows cannot share a batch: one row at a time, by the model's own `generate`.

`generate` knows every kind of cache. The choice of the token stays ours: a logits processor takes the row's next
token and leaves `generate` that one only, and a stopping criterion ends the row when it is finished or cancelled.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig
from transformers.generation.logits_process import LogitsProcessor
from transformers.generation.stopping_criteria import StoppingCriteria

from .generation import Row
from .generation_worker import GenerationWorker
from .sampling import choose, logprobs_of
from .tokenizing import TextTokenizer
from .worker import ServerHooks, free_unused_memory


class SequentialWorker(GenerationWorker):
    """One row at a time."""

    def __init__(self, model: Any, tokenizer: TextTokenizer, max_queue: int, hooks: ServerHooks) -> None:
        super().__init__(tokenizer, max_queue, hooks)
        self._model = model
        self._device = model.get_input_embeddings().weight.device
        self._row: Row | None = None
        # A checkpoint's own defaults (a temperature, penalties) would be applied beside ours.
        model.generation_config = GenerationConfig(pad_token_id=0)

    def _active(self) -> int:
        return int(self._row is not None)

    def _abandon(self) -> list[Row]:
        row, self._row = self._row, None
        return [row] if row else []

    def _step(self) -> None:
        row = self._next_waiting()
        if row is None or not self._unqueue(row):
            return
        self._row = row
        self._begin(row)
        self._metrics.running = 1
        try:
            self._generate(row)
        except Exception as error:
            free_unused_memory()
            self._fail_row(row, error)
        else:
            self._end_row(row, row.finish_reason or "cancelled")
        finally:
            self._row = None

    def _generate(self, row: Row) -> None:
        ids = torch.tensor([row.tokens(0, row.length)], device=self._device)
        config = GenerationConfig(
            max_new_tokens=row.remaining, do_sample=False, pad_token_id=0, eos_token_id=None, use_cache=True
        )
        self._model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            generation_config=config,
            logits_processor=[_OwnChoice(self, row)],
            stopping_criteria=[_OwnEnd(self, row)],
        )

    def take_token(self, row: Row, logits: Tensor) -> int:
        """Chooses the row's next token and delivers it. `logits` is 1 x vocabulary; raises if they are not finite."""
        [token] = choose(logits, [row.sampler])
        if token is None:
            raise RuntimeError("the logits are not finite numbers (try another dtype)")
        top = row.request.logprobs
        row.accept(token, None if top is None else logprobs_of(logits[0], token, top))
        self._metrics.batches += 1
        self._tell_token(row)
        self._send()
        return token

    def over(self, row: Row) -> bool:
        """Whether a row is to end now."""
        return row.finish_reason is not None or row.request.cancelled or self._stopping


class _OwnChoice(LogitsProcessor):
    def __init__(self, worker: SequentialWorker, row: Row) -> None:
        self._worker = worker
        self._row = row

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        token = self._worker.take_token(self._row, scores.float())
        only = torch.full_like(scores, float("-inf"))
        only[:, token] = 0
        return only


class _OwnEnd(StoppingCriteria):
    def __init__(self, worker: SequentialWorker, row: Row) -> None:
        self._worker = worker
        self._row = row

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        return torch.full((input_ids.shape[0],), self._worker.over(self._row), device=input_ids.device)
