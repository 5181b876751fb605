"""What the workers for generation share: requests become rows, and rows tell their tokens."""

from __future__ import annotations

from abc import abstractmethod

from .generation import GenerationRequest, Row
from .tokenizing import TextTokenizer
from .worker import ServerHooks, Worker


class GenerationWorker(Worker[Row]):
    """Each choice of a request is a row, and waits by itself."""

    def __init__(self, tokenizer: TextTokenizer, max_queue: int, hooks: ServerHooks) -> None:
        super().__init__(max_queue, hooks)
        self._tokenizer = tokenizer

    def submit(self, request: GenerationRequest) -> None:
        """Raises the 429 where too many rows wait. Safe from any thread."""
        known = self._tokenizer
        count = len(request.prompts) * request.n
        self._enqueue([Row(request, at, known.decode, known.end_tokens, known.special_tokens) for at in range(count)])

    def cancel(self, request: GenerationRequest) -> None:
        """Safe from any thread, and at any time."""
        self._withdraw(request, lambda row: row.request is request and row.slot < 0)

    @abstractmethod
    def _abandon(self) -> list[Row]:
        """Gives up all rows that are being worked on, and what is stored for them."""

    def _cancel_all(self) -> None:
        with self._wake:
            begun = [row for row in self._waiting if row.slot >= 0]
        for row in [*self._abandon(), *begun]:
            self._end_row(row, "cancelled")

    def _step_failed(self, error: Exception) -> None:
        rows = self._abandon()
        # Where there were none, the row that was to be taken is at fault, and would be so again for ever.
        if not rows and (row := self._next_waiting()) and self._unqueue(row):
            rows = [row]
        for row in rows:
            self._fail_row(row, error)

    def _next_waiting(self) -> Row | None:
        """The first row that still has a client, left in the queue."""
        while True:
            with self._wake:
                self._metrics.waiting = len(self._waiting)
                if not self._waiting:
                    return None
                row = self._waiting[0]
                if not row.request.cancelled:
                    return row
                self._waiting.popleft()
            if row.slot >= 0:
                self._end_row(row, "cancelled")

    def _unqueue(self, row: Row) -> bool:
        """Removes the row that `_next_waiting` gave.

        False where its client has left meanwhile: the first place in the queue is another row's then.
        """
        with self._wake:
            if not self._waiting or self._waiting[0] is not row:
                return False
            self._waiting.popleft()
            self._metrics.waiting = len(self._waiting)
            return True

    def _begin(self, row: Row) -> None:
        """Starts a row that is out of the queue. One that was put back has been started before."""
        if row.slot >= 0:
            return
        row.start(next(self._tasks))
        row.slot = self._report_start(row.task, row.request.kind, row.prompt_tokens)
        self._metrics.prompt_tokens += row.prompt_tokens

    def _put_back(self, row: Row) -> None:
        """A row that was begun waits again, before all others."""
        with self._wake:
            self._waiting.appendleft(row)

    def _tell_token(self, row: Row) -> None:
        """Passes on what a token has added. The first token is reported at once, progress now and then."""
        self._metrics.generated_tokens += 1
        for update in row.updates():
            self._tell(row.request, update)
        first = row.generated == 1
        if first:
            row.throttle.restart()
        if first or (row.finish_reason is None and row.throttle.ready()):
            # One token has no rate yet: the time before it is the prompt's.
            tps = 0.0 if first else row.speed()
            self._events.emit("generating", task=row.task, slot=row.slot, tokens=row.generated, tps=tps)

    def _end_row(self, row: Row, reason: str) -> None:
        self._report_end(row.task, row.slot, row.prompt_tokens, reason, row.generated, row.speed())

    def _fail_row(self, row: Row, error: Exception) -> None:
        """The end of one row by an error; its request's other rows are cancelled with it."""
        self._fail(row.request, row.task, error)
        self._end_row(row, "error")
