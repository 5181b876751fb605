"""What rows cost: of the event loop's time, of the host's memory, and of a device that another server uses too."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, overload

import pytest
import torch
from test_batched_worker import GREEDY, PROMPTS, Bench, bench

from solar_pyserver.generation import GenerationRequest
from solar_pyserver.kv_budget import choose_kv_budget
from solar_pyserver.kv_pool import KvPool, LayerShape

__all__ = ["bench"]


class Watched(Sequence[int]):
    """A prompt that knows which thread has read it, and how much."""

    def __init__(self, tokens: list[int]) -> None:
        self._tokens = tokens
        self.readers: set[str] = set()
        self.read = 0

    def __len__(self) -> int:
        return len(self._tokens)

    @overload
    def __getitem__(self, at: int) -> int: ...
    @overload
    def __getitem__(self, at: slice) -> list[int]: ...
    def __getitem__(self, at: int | slice) -> int | list[int]:
        self.readers.add(threading.current_thread().name)
        self.read += len(self._tokens[at]) if isinstance(at, slice) else 1
        return self._tokens[at]


LONG = [0, *range(60, 360)]


def many(one: Bench, prompt: Watched, n: int) -> GenerationRequest:
    return one.submit(
        GenerationRequest([prompt], GREEDY, [4], lambda update: None, n=n, ignore_eos=True, continues_prompt=True)
    )


def test_rows_are_built_away_from_the_thread_that_submits_and_read_their_prompt_once(
    bench: Callable[..., Bench],
) -> None:
    one = bench()
    prompt = Watched(LONG)
    request = many(one, prompt, 16)
    texts = {one.text(request, at) for at in range(16)}
    assert len(texts) == 1
    assert prompt.readers == {"worker"}
    # Each choice reads the prompt's last token, and the few before it that its text continues.
    assert prompt.read <= len(LONG) + 16 * 16


def test_a_request_whose_rows_wait_holds_its_prompt_once(bench: Callable[..., Bench]) -> None:
    one = bench(max_batch=1)
    one.model.gate.clear()
    prompt = Watched(LONG)
    request = many(one, prompt, 128)
    assert len({id(row.prompt) for row in one.worker._waiting}) == 1
    assert prompt.readers <= {"worker"}
    one.worker.cancel(request)


class Device:
    """The memory of one device, in tokens, of which two servers take."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.pools: list[KvPool] = []
        self.most = 0

    def used(self) -> int:
        return sum(pool.held for pool in self.pools)

    def budget(self, held: int) -> int:
        return choose_kv_budget(None, 512, 16, self.size - self.used(), 1, "cuda", held)

    def watch(self, ids: torch.Tensor) -> None:
        self.most = max(self.most, self.used())


@pytest.fixture
def device() -> Device:
    return Device(4000)


def crowd(one: Bench) -> list[Any]:
    return [one.ask(prompt, tokens=200) for prompt in PROMPTS]


def test_two_idle_servers_of_one_device_are_not_promised_the_same_memory(
    bench: Callable[..., Bench], device: Device
) -> None:
    alone = bench()
    expected = [alone.text(request) for request in crowd(alone)]
    servers = [bench(allowed=device.budget) for _ in range(2)]
    device.pools = [server.pool for server in servers]
    # Idle, either could have more than a half.
    assert [server.metrics.kv_budget for server in servers] == [2400, 2400]
    for server in servers:
        server.model.fault = device.watch
        server.model.gate.clear()
    requests = [crowd(server) for server in servers]
    # The first one takes its fill before the second begins.
    servers[0].model.gate.set()
    done = threading.Event()

    def begin(ids: torch.Tensor) -> None:
        device.watch(ids)
        if device.used() > 2000:
            servers[1].model.gate.set()
            done.set()

    servers[0].model.fault = begin
    for server, mine in zip(servers, requests, strict=True):
        assert [server.text(request) for request in mine] == expected
    assert done.is_set()
    assert 2000 < device.most <= device.size


SHAPE = LayerShape(heads=1, key_size=1, value_size=1, dtype=torch.float32, device=torch.device("cpu"))


def test_a_pool_gives_up_rows_that_have_left_before_it_grows_over_its_budget() -> None:
    pool = KvPool([SHAPE, SHAPE], max_rows=64)
    pool.reserve(32, 64, budget=4096)
    for layer in pool.layers:
        layer.keys[0, 0, :64, 0] = torch.arange(64.0)
    pool.reserve(1, 2048, budget=4096)
    assert pool.held <= 4096
    assert pool.layers[1].keys[0, 0, :64, 0].tolist() == list(range(64))
    # And columns, where rows come.
    pool.reserve(40, 64, budget=4096)
    assert pool.held <= 4096
    assert pool.layers[1].keys[0, 0, :64, 0].tolist() == list(range(64))
    assert {layer.keys.shape[0] for layer in pool.layers} == {pool.rows}
