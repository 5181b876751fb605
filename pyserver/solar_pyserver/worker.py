"""What all workers share: a bounded queue, one thread that owns the model, and the telling of what happens."""

from __future__ import annotations

import itertools
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

import torch

from .errors import is_device_lost, lost, model_failure, one_line, queue_full
from .events import EventLog, Slots
from .metrics import Metrics

Call = Callable[[], object]


@dataclass(frozen=True)
class ServerHooks:
    """What the server gives a worker.

    `to_loop` runs calls on the event loop, in order. `on_lost` ends the process: it is called when the accelerator has
    failed, after which no forward pass can succeed, and when the worker's thread has ended of an error.
    """

    events: EventLog
    metrics: Metrics
    to_loop: Callable[[list[Call]], None]
    on_lost: Callable[[str], None]


class Request(Protocol):
    """One HTTP request. `deliver` is called on the event loop, with an `ApiError` where the request has failed."""

    cancelled: bool

    @property
    def deliver(self) -> Callable[[Any], None]: ...


Item = TypeVar("Item")


class Worker(ABC, Generic[Item]):
    """Items wait in arrival order; the thread takes them when it can. `max_queue` is how many may wait."""

    def __init__(self, max_queue: int, hooks: ServerHooks) -> None:
        self._max_queue = max_queue
        self._hooks = hooks
        self._events = hooks.events
        self._metrics = hooks.metrics
        self._slots = Slots()
        self._tasks = itertools.count(1)
        self._waiting: deque[Item] = deque()
        self._wake = threading.Condition()
        self._stopping = False
        self._outbox: list[Call] = []
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)

    def start(self) -> None:
        """Begins to work, in a thread of its own."""
        self._thread.start()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Waits for the step that runs, for `timeout_s` seconds at most. What was begun is told to be cancelled."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join(timeout_s)

    @abstractmethod
    def _step(self) -> None:
        """Takes what waits and does one piece of work."""

    @abstractmethod
    def _active(self) -> int:
        """How many rows or texts are being worked on."""

    @abstractmethod
    def _step_failed(self, error: Exception) -> None:
        """It is not known how far the step came, so that nothing it worked on can go on."""

    @abstractmethod
    def _cancel_all(self) -> None:
        """Tells the end of all that was told to begin."""

    def _enqueue(self, items: Sequence[Item]) -> None:
        """Raises the 429 where too many wait. Safe from any thread.

        One request may bring more items than the limit; it is let in when nothing else waits.
        """
        with self._wake:
            if self._waiting and len(self._waiting) + len(items) > self._max_queue:
                raise queue_full(self._max_queue)
            self._waiting.extend(items)
            self._metrics.waiting = len(self._waiting)
            self._wake.notify()

    def _withdraw(self, request: Request, unbegun: Callable[[Item], bool]) -> None:
        """Cancels a request. Its places in the queue are free at once; what was begun is ended by the thread."""
        with self._wake:
            request.cancelled = True
            self._waiting = deque(item for item in self._waiting if not unbegun(item))
            self._metrics.waiting = len(self._waiting)
            self._wake.notify()

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
                self._cancel_all()
        except BaseException as error:
            self._hooks.on_lost(lost(error))
            raise

    def _has_work(self) -> bool:
        """Waits for work. False where the thread is to end."""
        with self._wake:
            while not (self._stopping or self._waiting or self._active()):
                self._wake.wait()
            return not self._stopping

    def _tell(self, request: Request, update: object) -> None:
        """The update is delivered with the others of the step."""
        self._outbox.append(partial(request.deliver, update))

    def _send(self) -> None:
        if self._outbox:
            outbox, self._outbox = self._outbox, []
            self._hooks.to_loop(outbox)

    def _fail(self, request: Request, task: int, error: Exception) -> None:
        """Ends a request by an error; the caller tells the end of its task."""
        self._events.error(f"task {task}: {one_line(error)}")
        request.cancelled = True
        self._tell(request, model_failure(error))
        if is_device_lost(error):
            self._send()
            self._hooks.on_lost(lost(error))

    def _report_start(self, task: int, kind: str, prompt_tokens: int) -> int:
        """The slot that the task has until its end is reported."""
        slot = self._slots.take()
        self._events.emit("request-start", task=task, slot=slot, kind=kind, prompt_tokens=prompt_tokens)
        return slot

    def _report_end(
        self, task: int, slot: int, prompt_tokens: int, reason: str, generated: int = 0, tps: float = 0.0
    ) -> None:
        """`tps` is tokens a second."""
        self._events.emit(
            "request-end",
            task=task,
            slot=slot,
            prompt_tokens=prompt_tokens,
            generated=generated,
            tps=tps,
            ms_per_token=1000.0 / tps if tps else 0.0,
            reason=reason,
        )
        self._slots.free(slot)


def free_unused_memory() -> None:
    """Else torch would keep it, and another server on this device could not have it."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
