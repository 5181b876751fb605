"""Generation with rows that join and leave the batch while it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch import Tensor

from .batch_model import BatchModel
from .errors import is_device_lost, is_out_of_memory
from .generation import Row
from .generation_worker import GenerationWorker
from .sampling import choose, logprobs_of
from .tokenizing import TextTokenizer
from .worker import ServerHooks, free_unused_memory

# A row is admitted when this many of its coming tokens fit too. Else it would have to leave again at once.
HEADROOM = 256


def fits(rows: Sequence[int], wanted: int, budget: int) -> bool:
    """Whether a row of `wanted` tokens fits beside rows of these lengths (tokens). The cache is rows x longest."""
    return not rows or (len(rows) + 1) * max(wanted, *rows) <= budget


class BatchedWorker(GenerationWorker):
    """The pool's first rows are decoded together; the one after them is being prefilled, a chunk at a time.

    `max_batch` rows run at once. `budget` gives the tokens that the pool may hold, as rows x longest, where it has
    memory for so many already; it is asked when the pool is to grow. `prefill_chunk` is how many tokens of prompts are
    read between two decoding steps.
    """

    def __init__(
        self,
        batch: BatchModel,
        max_batch: int,
        budget: Callable[[int], int],
        prefill_chunk: int,
        tokenizer: TextTokenizer,
        max_queue: int,
        hooks: ServerHooks,
    ) -> None:
        super().__init__(tokenizer, max_queue, hooks)
        self._batch = batch
        self._pool = batch.pool
        self._max_batch = max_batch
        self._budget = budget
        self._chunk = prefill_chunk
        self._decoding: list[Row] = []
        self._prefilling: Row | None = None
        self._granted = budget(0)
        self._metrics.kv_budget = self._granted

    def _active(self) -> int:
        return len(self._decoding) + (self._prefilling is not None)

    def _step(self) -> None:
        self._drop_cancelled()
        self._prefill()
        self._decode()
        if not self._active() and self._pool.held:
            self._pool.release()
            free_unused_memory()
        self._metrics.kv_cells = self._active() * self._longest()

    def _abandon(self) -> list[Row]:
        rows = list(self._rows())
        self._decoding, self._prefilling = [], None
        self._pool.release()
        free_unused_memory()
        return rows

    def _longest(self) -> int:
        return max((row.length for row in self._rows()), default=0)

    def _allowed(self, rows: int, columns: int) -> int:
        """Tokens that the pool may hold for this many rows. Rows that run keep what was granted to them."""
        return self._granted if self._pool.holds(rows, columns) else self._budget(self._pool.held)

    def _reserve(self, rows: int, columns: int, budget: int) -> None:
        if not self._pool.holds(rows, columns):
            self._pool.reserve(rows, columns, budget)
            self._metrics.kv_budget = self._granted = budget

    def _rows(self) -> list[Row]:
        return [*self._decoding, self._prefilling] if self._prefilling else self._decoding

    def _drop_cancelled(self) -> None:
        for row in [row for row in self._rows() if row.request.cancelled]:
            self._remove(row)
            self._end_row(row, "cancelled")

    def _remove(self, row: Row) -> None:
        """Takes a row out of the pool. The last rows fill its place."""
        if row is self._prefilling:
            self._prefilling = None
            return
        place = self._decoding.index(row)
        last = self._decoding.pop()
        hole = len(self._decoding)
        if last is not row:
            self._pool.move(hole, place, last.cached)
            self._decoding[place] = last
        if self._prefilling:
            self._pool.move(hole + 1, hole, self._prefilling.cached)

    def _prefill(self) -> None:
        """Reads one chunk of prompt tokens: the rows that decode wait for no more than that."""
        left = self._chunk
        while left > 0:
            row = self._prefilling or self._admit()
            if row is None:
                return
            left -= self._prefill_chunk(row, left)

    def _admit(self) -> Row | None:
        if len(self._decoding) >= self._max_batch:
            return None
        row = self._next_waiting()
        if row is None:
            return None
        wanted = row.length + min(row.remaining, HEADROOM)
        lengths = [other.length for other in self._decoding]
        columns = max(wanted, *lengths, 0)
        budget = self._allowed(len(lengths) + 1, columns)
        if not fits(lengths, wanted, budget) or not self._unqueue(row):
            return None
        self._prefilling = row
        row.cached = 0
        self._begin(row)
        self._attempt(row, lambda: self._make_place(row, columns, budget))
        return self._prefilling or row

    def _make_place(self, row: Row, columns: int, budget: int) -> None:
        self._reserve(len(self._decoding) + 1, columns, budget)
        self._copy_prompt(row)

    def _copy_prompt(self, row: Row) -> None:
        """Copies the K/V of a row with the same prompt, all but the last token, whose logits are needed."""
        for place, other in enumerate(self._decoding):
            if other.prompt is row.prompt or (other.request is row.request and other.prompt == row.prompt):
                shared = row.prompt_tokens - 1
                self._pool.move(place, len(self._decoding), shared)
                row.cached = shared
                return

    def _prefill_chunk(self, row: Row, limit: int) -> int:
        """Reads `limit` tokens at most and gives their number. At the end of its prompt a row gets its first token."""
        if self._prefilling is not row:
            return 1
        chunk = row.tokens(row.cached, row.cached + limit)
        place = len(self._decoding)
        logits = self._attempt(row, lambda: self._batch.prefill(place, chunk, row.cached))
        if logits is None:
            return len(chunk)
        row.cached += len(chunk)
        if row.cached < row.length:
            if row.throttle.ready():
                self._events.emit("prefill", task=row.task, slot=row.slot, done=row.cached, total=row.length)
            return len(chunk)
        tokens = self._attempt(row, lambda: choose(logits[None], [row.sampler]))
        if tokens is not None:
            self._prefilling = None
            self._decoding.append(row)
            self._accept([row], tokens, logits[None])
        return len(chunk)

    def _attempt(self, row: Row, action: Callable[[], Any]) -> Any:
        """The result, or True for a result of None. None where it failed: that ends this row alone."""
        try:
            result = action()
            return True if result is None else result
        except Exception as error:
            self._remove(row)
            free_unused_memory()
            self._fail_row(row, error)
            return None

    def _decode(self) -> None:
        while self._decoding:
            budget = self._keep_to_budget()
            try:
                self._reserve(self._active(), self._longest(), budget)
                # Each row has one token at least: the first came at the end of its prompt.
                logits = self._batch.decode(
                    [row.answer[-1] for row in self._decoding], [row.cached for row in self._decoding]
                )
                tokens = choose(logits, [row.sampler for row in self._decoding])
            except Exception as error:
                self._decode_failed(error)
                continue
            for row in self._decoding:
                row.cached += 1
            self._metrics.batches += 1
            self._accept(list(self._decoding), tokens, logits)
            return

    def _keep_to_budget(self) -> int:
        """The budget in tokens. Where it is exceeded the youngest row leaves, to be prefilled again with its answer."""
        while True:
            budget = self._allowed(self._active(), self._longest())
            if self._active() == 1 or self._active() * self._longest() <= budget:
                return budget
            row = self._prefilling or max(self._decoding, key=lambda row: row.task)
            self._remove(row)
            self._put_back(row)

    def _decode_failed(self, error: Exception) -> None:
        """Out of memory ends the longest row, and the others go on. Any other error ends all rows."""
        if is_out_of_memory(error) and not is_device_lost(error):
            lost = [max(self._decoding, key=lambda row: row.cached)]
        else:
            lost = list(self._decoding)
        for row in lost:
            self._remove(row)
        free_unused_memory()
        for row in lost:
            self._fail_row(row, error)

    def _accept(self, rows: list[Row], tokens: list[int | None], logits: Tensor) -> None:
        """Gives each row its next token. `logits` is rows x vocabulary."""
        for row, token, line in zip(rows, tokens, logits, strict=True):
            if token is None:
                self._pool.clear(self._decoding.index(row))
                self._remove(row)
                self._fail_row(row, RuntimeError("the logits are not finite numbers (try another dtype)"))
                continue
            if self._attempt(row, partial(_accept, row, token, line)) is None:
                continue
            self._tell_token(row)
            if row.finish_reason is not None:
                self._remove(row)
                self._end_row(row, row.finish_reason)


def _accept(row: Row, token: int, logits: Tensor) -> None:
    top = row.request.logprobs
    row.accept(token, None if top is None else logprobs_of(logits, token, top))
