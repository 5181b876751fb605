"""The number of threads for a pass on the CPU, found by trying.

A small model gains nothing from a second thread, and loses much where another process wants that core: each of its
many short operations then waits for a thread that is not running. A large one gains nearly twice.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping

import torch

# A smaller number of threads is chosen where it takes at most this many times as long as the fastest.
ALLOWANCE = 1.25
# A longer pass gets all threads: timing it again would only delay the start.
LONG_PASS_S = 0.15
TRIES = 5


def choose_threads(seconds: Mapping[int, float]) -> int:
    """The smallest number that is about as fast as the best. `seconds` is the time of a pass for each number."""
    best = min(seconds.values())
    return min(count for count, time_s in seconds.items() if time_s <= ALLOWANCE * best)


def candidates(most: int) -> list[int]:
    """The numbers to try: all, all but one (for the event loop), a half, and one."""
    return sorted({most, max(1, most - 1), max(1, most // 2), 1}, reverse=True)


def tune_threads(
    run: Callable[[], object],
    environ: Mapping[str, str] = os.environ,
    clock: Callable[[], float] = time.perf_counter,
) -> int:
    """Times `run`, sets torch's number of threads for later threads, and gives it. OMP_NUM_THREADS is obeyed."""
    most = torch.get_num_threads()
    if most == 1 or environ.get("OMP_NUM_THREADS"):
        return most
    run()
    if _time(run, clock) > LONG_PASS_S:
        return most
    seconds: dict[int, float] = {}
    for count in candidates(most):
        torch.set_num_threads(count)
        run()
        seconds[count] = min(_time(run, clock) for _ in range(TRIES))
    chosen = choose_threads(seconds)
    torch.set_num_threads(chosen)
    return chosen


def _time(run: Callable[[], object], clock: Callable[[], float]) -> float:
    started = clock()
    run()
    return clock() - started
