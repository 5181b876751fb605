from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from solar_pyserver.threads import candidates, choose_threads, tune_threads


def test_the_fewest_threads_that_are_about_as_fast_are_chosen() -> None:
    assert choose_threads({8: 1.0, 7: 1.1, 4: 1.2, 1: 3.0}) == 4
    assert choose_threads({2: 1.0, 1: 1.9}) == 2
    assert choose_threads({2: 1.0, 1: 0.9}) == 1


def test_candidates_leave_a_core_for_the_event_loop() -> None:
    assert candidates(16) == [16, 15, 8, 1]
    assert candidates(2) == [2, 1]


def test_a_users_own_number_of_threads_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    runs: list[int] = []
    assert tune_threads(lambda: runs.append(1), {"OMP_NUM_THREADS": "3"}) == 3
    assert not runs


class Machine:
    """Four cores, and a clock that only a pass moves on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: Callable[[int], float]) -> None:
        self.threads = 4
        self.now = 0.0
        self.passes = 0
        self._seconds = seconds
        monkeypatch.setattr(torch, "get_num_threads", lambda: self.threads)
        monkeypatch.setattr(torch, "set_num_threads", lambda count: setattr(self, "threads", count))

    def run(self) -> None:
        self.passes += 1
        self.now += self._seconds(self.threads)

    def settle(self) -> int:
        return tune_threads(self.run, {}, lambda: self.now)


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [(lambda threads: 0.04 / threads, 4), (lambda threads: 0.01, 1), (lambda threads: 0.04 / min(2, threads), 2)],
    ids=["all are of use", "a second one is of none", "two are as good as four"],
)
def test_a_pass_gets_the_threads_that_speed_it_up(
    monkeypatch: pytest.MonkeyPatch, seconds: Callable[[int], float], chosen: int
) -> None:
    machine = Machine(monkeypatch, seconds)
    assert machine.settle() == chosen
    assert machine.threads == chosen


def test_a_long_pass_gets_all_threads_and_is_not_timed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, lambda threads: 1.0)
    assert machine.settle() == 4
    assert machine.passes == 2
