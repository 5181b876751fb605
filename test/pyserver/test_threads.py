from __future__ import annotations

import time

import pytest
import torch

from solar_pyserver.threads import candidates, choose_threads, settle_threads


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
    assert settle_threads(lambda: runs.append(1), {"OMP_NUM_THREADS": "3"}) == 3
    assert not runs


def test_a_pass_that_a_second_thread_speeds_up_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [4]
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: now.__setitem__(0, count))
    assert settle_threads(lambda: time.sleep(0.04 / now[0]), {}) == 4
    assert now == [4]
    now[0] = 4
    assert settle_threads(lambda: time.sleep(0.01), {}) == 1
    assert now == [1]
