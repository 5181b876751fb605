"""The classification worker: what waits when the model is free forms the batch; no timer."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from .errors import is_device_lost, lost, model_failure, one_line, queue_full
from .events import Budget, EventLog, Slots
from .metrics import Metrics
from .packing import first_served, pack

Encoding = dict[str, list[int]]
REPORTED_PER_SECOND = 20


@dataclass(eq=False)
class ClassifyRequest:
    """One HTTP request. Once `deliver` was called with None, `scores` has every class's score for each text."""

    texts: Sequence[Encoding]
    deliver: Callable[[Exception | None], None]
    cancelled: bool = False
    scores: list[list[float]] = field(default_factory=list)
    missing: int = 0
    task: int = 0
    slot: int = -1

    @property
    def tokens(self) -> int:
        return sum(len(text["input_ids"]) for text in self.texts)


@dataclass(frozen=True, eq=False)
class _Item:
    request: ClassifyRequest
    index: int
    encoding: Encoding

    @property
    def length(self) -> int:
        return len(self.encoding["input_ids"])


class ClassificationWorker:
    """One thread owns the model. `publish` gets what one batch finished, in one call from that thread."""

    def __init__(
        self,
        score: Callable[[Sequence[Encoding]], list[list[float]]],
        max_rows: int,
        max_cells: int,
        max_queue: int,
        events: EventLog,
        metrics: Metrics,
        publish: Callable[[list[tuple[ClassifyRequest, Exception | None]]], None],
        on_lost: Callable[[str], None],
    ) -> None:
        self._score = score
        self._max_rows = max_rows
        self._max_cells = max_cells
        self._max_queue = max_queue
        self._events = events
        self._metrics = metrics
        self._publish = publish
        self._on_lost = on_lost
        self._reports = Budget(REPORTED_PER_SECOND)
        self._slots = Slots()
        self._tasks = itertools.count(1)
        self._arrived: deque[ClassifyRequest] = deque()
        self._items: list[_Item] = []
        # Those that were begun and are not over; and those that are over, to be told.
        self._open: dict[ClassifyRequest, None] = {}
        self._outbox: list[tuple[ClassifyRequest, Exception | None]] = []
        self._wake = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join(timeout_s)

    def submit(self, request: ClassifyRequest) -> None:
        """Raises the 429 where too many requests wait. Safe from any thread."""
        request.missing = len(request.texts)
        request.scores = [[] for _ in request.texts]
        with self._wake:
            if len(self._arrived) >= self._max_queue:
                raise queue_full(self._max_queue)
            self._arrived.append(request)
            self._metrics.waiting = len(self._arrived)
            self._wake.notify()

    def cancel(self, request: ClassifyRequest) -> None:
        with self._wake:
            request.cancelled = True
            # Its place in the queue is free at once; one that was begun is ended by the thread.
            if request in self._arrived:
                self._arrived.remove(request)
                self._metrics.waiting = len(self._arrived)

    def _run(self) -> None:
        try:
            with torch.inference_mode():
                while self._has_work():
                    try:
                        self._step()
                    except Exception as error:
                        # Nobody knows how far the step came, so none of its requests can go on.
                        for request in list(self._open):
                            self._fail(request, error)
                        self._items = []
                    self._metrics.running = len(self._items)
                    self._send()
                # What was told to begin is told to end.
                for request in list(self._open):
                    self._end(request, "cancelled")
        except BaseException as error:
            self._on_lost(lost(error))
            raise

    def _has_work(self) -> bool:
        """Waits for it; false where the thread is to end."""
        with self._wake:
            while not (self._stopping or self._arrived or self._items):
                self._wake.wait()
            return not self._stopping

    def _send(self) -> None:
        if self._outbox:
            outbox, self._outbox = self._outbox, []
            self._publish(outbox)

    def _step(self) -> None:
        with self._wake:
            arrived = self._admit()
        self._open.update(dict.fromkeys(arrived))
        for request in arrived:
            self._begin(request)
        self._batch()

    def _admit(self) -> list[ClassifyRequest]:
        """Takes requests while the batch has room, so that the rest still counts as waiting."""
        taken = []
        room = 8 * self._max_rows - len(self._items)
        while self._arrived and room > 0:
            taken.append(self._arrived.popleft())
            room -= len(taken[-1].texts)
        self._metrics.waiting = len(self._arrived)
        return taken

    def _begin(self, request: ClassifyRequest) -> None:
        request.task = next(self._tasks)
        tokens = request.tokens
        self._metrics.prompt_tokens += tokens
        self._items.extend(_Item(request, at, text) for at, text in enumerate(request.texts))
        if self._reports.take():
            request.slot = self._slots.take()
            self._events.emit(
                "request-start", task=request.task, slot=request.slot, kind="classify", prompt_tokens=tokens
            )

    def _batch(self) -> None:
        for request in {item.request: None for item in self._items if item.request.cancelled}:
            self._end(request, "cancelled")
        self._items = [item for item in self._items if not item.request.cancelled]
        if self._items:
            groups = pack([item.length for item in self._items], self._max_cells, self._max_rows)
            places = first_served(groups)
            batch = [self._items[at] for at in places]
            chosen = set(places)
            self._items = [item for at, item in enumerate(self._items) if at not in chosen]
            self._classify(batch)

    def _classify(self, batch: Sequence[_Item]) -> None:
        """A batch that fails is taken text by text, so that only the requests at fault fail."""
        self._metrics.batches += 1
        try:
            scores = self._score([item.encoding for item in batch])
        except Exception as error:
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            if is_device_lost(error):
                self._on_lost(lost(error))
            if len(batch) > 1 and not is_device_lost(error):
                for item in batch:
                    self._classify([item])
                return
            for request in {item.request: None for item in batch if not item.request.cancelled}:
                self._fail(request, error)
            for request in {item.request: None for item in batch if item.request.cancelled}:
                self._end(request, "cancelled")
            self._items = [item for item in self._items if not item.request.cancelled]
            return
        for item, values in zip(batch, scores, strict=True):
            request = item.request
            request.scores[item.index] = values
            request.missing -= 1
            if request.missing == 0:
                # One whose client has left meanwhile is over all the same.
                self._end(request, "cancelled" if request.cancelled else "stop")
                if not request.cancelled:
                    self._outbox.append((request, None))

    def _fail(self, request: ClassifyRequest, error: Exception) -> None:
        self._events.error(f"task {request.task}: {one_line(error)}")
        request.cancelled = True
        self._end(request, "error")
        self._outbox.append((request, model_failure(error)))

    def _end(self, request: ClassifyRequest, reason: str) -> None:
        self._open.pop(request, None)
        if request.slot < 0:
            return
        self._events.emit(
            "request-end",
            task=request.task,
            slot=request.slot,
            prompt_tokens=request.tokens,
            generated=0,
            tps=0.0,
            ms_per_token=0.0,
            reason=reason,
        )
        self._slots.free(request.slot)
        request.slot = -1
