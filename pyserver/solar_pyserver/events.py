"""Lines on stdout that tell the manager what the server is doing.

One event a line: `solar: <event> key=value key=value…`. Values hold no space, except `message`,
which is always last and runs to the end of the line. Prompt text never appears.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import BinaryIO

PROGRESS_INTERVAL_S = 0.25


class EventLog:
    """Writes events, from any thread. A reader that has gone away does not stop the server."""

    def __init__(self, stream: BinaryIO | None = None) -> None:
        self._stream = stream if stream is not None else sys.stdout.buffer
        self._lock = threading.Lock()

    def emit(self, event: str, **fields: object) -> None:
        """Writes one event. Values are made free of blanks."""
        self._write(" ".join([f"solar: {event}", *(f"{key}={_value(value)}" for key, value in fields.items())]))

    def error(self, message: str) -> None:
        """Something has failed. The message runs to the end of the line."""
        self._write(f"solar: error message={' '.join(message.split())}")

    def notice(self, message: str) -> None:
        """Something that works, but not as well as it could."""
        self._write(f"solar: notice message={' '.join(message.split())}")

    def _write(self, line: str) -> None:
        with self._lock:
            try:
                self._stream.write(line.encode("utf-8", "replace") + b"\n")
                self._stream.flush()
            except (OSError, ValueError):
                pass


class Throttle:
    """When a request may report progress again. `interval_s` is in seconds."""

    def __init__(self, interval_s: float = PROGRESS_INTERVAL_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = interval_s
        self._clock = clock
        self.restart()

    def restart(self) -> None:
        """From now on, one interval passes before the next report."""
        self._next = self._clock() + self._interval

    def ready(self) -> bool:
        """Whether to report now. If so, the next interval begins."""
        if self._clock() < self._next:
            return False
        self.restart()
        return True


class Budget:
    """Limits the reports to `per_second` requests. A request whose start is reported has its end reported too."""

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._second = -1
        self._used = 0

    def take(self) -> bool:
        """Whether this request is to be reported."""
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._used = second, 0
        self._used += 1
        return self._used <= self._per_second


class Slots:
    """Small numbers for tasks that run at the same time. A number is used again once it is free."""

    def __init__(self) -> None:
        self._used: set[int] = set()

    def take(self) -> int:
        """The smallest number that is free."""
        slot = 0
        while slot in self._used:
            slot += 1
        self._used.add(slot)
        return slot

    def free(self, slot: int) -> None:
        self._used.discard(slot)


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f}"
    return "_".join(str(value).split()) or "-"
