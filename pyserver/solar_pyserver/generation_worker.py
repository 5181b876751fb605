"""What both workers share: a bounded queue, one thread that owns the model, and the telling of what happens."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable

import torch

from .errors import is_device_lost, lost, model_failure, one_line, queue_full
from .events import EventLog, Slots
from .generation import Failed, GenerationRequest, Row, Update
from .metrics import Metrics
from .tokenizing import TextTokenizer

Delivery = list[tuple[GenerationRequest, Update]]


class GenerationWorker(ABC):
    """Rows wait in arrival order; the thread takes them when it can.

    `publish` gets all that one step produced, in one call from the worker's thread. `on_lost` is called when the
    accelerator itself has failed, after which no forward pass can succeed, and when the thread has ended of an error:
    only a new process helps then.
    """

    def __init__(
        self,
        tokenizer: TextTokenizer,
        max_queue: int,
        events: EventLog,
        metrics: Metrics,
        publish: Callable[[Delivery], None],
        on_lost: Callable[[str], None],
    ) -> None:
        self._tokenizer = tokenizer
        self._max_queue = max_queue
        self._events = events
        self._metrics = metrics
        self._publish = publish
        self._on_lost = on_lost
        self._slots = Slots()
        self._waiting: deque[Row] = deque()
        self._wake = threading.Condition()
        self._stopping = False
        self._outbox: Delivery = []
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join(timeout_s)

    def submit(self, request: GenerationRequest) -> None:
        """Raises the 429 where too many rows wait. Safe from any thread."""
        count = len(request.prompts) * request.n
        known = self._tokenizer
        rows = [Row(request, at, known.decode, known.end_tokens, known.special_tokens) for at in range(count)]
        with self._wake:
            # One request may bring more rows than the limit; it is let in when nothing else waits.
            if self._waiting and len(self._waiting) + count > self._max_queue:
                raise queue_full(self._max_queue)
            self._waiting.extend(rows)
            self._metrics.waiting = len(self._waiting)
            self._wake.notify()

    def cancel(self, request: GenerationRequest) -> None:
        with self._wake:
            request.cancelled = True
            # Its place in the queue is free at once; a row that was begun is ended by the thread.
            self._waiting = deque(row for row in self._waiting if row.request is not request or row.slot >= 0)
            self._metrics.waiting = len(self._waiting)
            self._wake.notify()

    @abstractmethod
    def _step(self) -> None:
        """Takes what waits and does one piece of work."""

    @abstractmethod
    def _active(self) -> int:
        """How many rows are being worked on."""

    @abstractmethod
    def _abandon(self) -> list[Row]:
        """Gives up all rows that are being worked on, and what is stored for them."""

    def _run(self) -> None:
        try:
            with torch.inference_mode():
                while self._has_work():
                    try:
                        self._step()
                    except Exception as error:
                        self._step_failed(error)
                    self._metrics.running = self._active()
                    self._send()
                self._end_all()
        except BaseException as error:
            self._on_lost(lost(error))
            raise

    def _end_all(self) -> None:
        """What was told to begin is told to end."""
        with self._wake:
            begun = [row for row in self._waiting if row.slot >= 0]
        for row in [*self._abandon(), *begun]:
            self._ended(row, "cancelled")

    def _step_failed(self, error: Exception) -> None:
        """Nobody knows how far the step came, so none of its rows can go on."""
        rows = self._abandon()
        # Where there were none, the row that was to be taken is at fault, and would be so again for ever.
        if not rows and (row := self._next_waiting()):
            with self._wake:
                self._waiting.popleft()
            rows = [row]
        for row in rows:
            self._failed(row, error)

    def _has_work(self) -> bool:
        """Waits for it; false where the thread is to end."""
        with self._wake:
            while not (self._stopping or self._waiting or self._active()):
                self._wake.wait()
            return not self._stopping

    def _send(self) -> None:
        if self._outbox:
            outbox, self._outbox = self._outbox, []
            self._publish(outbox)

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
                self._ended(row, "cancelled")

    def _take(self, row: Row) -> None:
        """Removes the row that `_next_waiting` gave, and starts it."""
        with self._wake:
            self._waiting.popleft()
            self._metrics.waiting = len(self._waiting)
        if row.slot >= 0:
            return
        row.started(self._slots.take())
        self._metrics.prompt_tokens += row.prompt_tokens
        self._events.emit(
            "request-start", task=row.task, slot=row.slot, kind=row.request.kind, prompt_tokens=row.prompt_tokens
        )

    def _put_back(self, row: Row) -> None:
        """A row that was begun waits again, before all others."""
        with self._wake:
            self._waiting.appendleft(row)

    def _told(self, row: Row) -> None:
        """After a token: passes on what is new. The first token is reported at once, progress now and then."""
        self._metrics.generated_tokens += 1
        self._outbox.extend((row.request, update) for update in row.updates())
        first = row.generated == 1
        if first:
            row.throttle.restart()
        if first or (row.finish_reason is None and row.throttle.ready()):
            # One token has no rate yet: the time before it is the prompt's.
            tps = 0.0 if first else row.speed()
            self._events.emit("generating", task=row.task, slot=row.slot, tokens=row.generated, tps=tps)

    def _ended(self, row: Row, reason: str) -> None:
        speed = row.speed()
        self._events.emit(
            "request-end",
            task=row.task,
            slot=row.slot,
            prompt_tokens=row.prompt_tokens,
            generated=row.generated,
            tps=speed,
            ms_per_token=1000.0 / speed if speed else 0.0,
            reason=reason,
        )
        self._slots.free(row.slot)

    def _failed(self, row: Row, error: Exception) -> None:
        """The end of one row by an error; its request's other rows are cancelled with it."""
        self._events.error(f"task {row.task}: {one_line(error)}")
        self._outbox.append((row.request, Failed(model_failure(error))))
        row.request.cancelled = True
        self._ended(row, "error")
        if is_device_lost(error):
            self._send()
            self._on_lost(lost(error))
