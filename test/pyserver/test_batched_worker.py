from __future__ import annotations

import copy
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from io import BytesIO
from typing import Any

import pytest
import torch

from server_process import wait_for
from solar_pyserver import batched_worker, generation
from solar_pyserver.batch_model import prepare_batching
from solar_pyserver.batched_worker import BatchedWorker, fits
from solar_pyserver.errors import ApiError
from solar_pyserver.events import EventLog, Throttle
from solar_pyserver.generation import Finished, GenerationRequest, Piece, Row, Update
from solar_pyserver.generation_worker import GenerationWorker
from solar_pyserver.metrics import Metrics
from solar_pyserver.sampling import SamplingParams
from solar_pyserver.worker import ServerHooks

GREEDY = SamplingParams(temperature=0)
PROMPTS = [[0, 40 + at, *range(90, 90 + 3 * at), 7] for at in range(12)]


class Model:
    """The real model, with a gate before each forward pass and faults that a test chooses."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.gate = threading.Event()
        self.gate.set()
        self.batches: list[tuple[int, int]] = []
        self.fault: Callable[[torch.Tensor], None] = lambda ids: None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def __call__(self, **inputs: Any) -> Any:
        assert self.gate.wait(60)
        self.batches.append(tuple(inputs["input_ids"].shape))
        self.fault(inputs["input_ids"])
        return self._model(**inputs)


class Bench:
    """A worker and what it has told."""

    def __init__(self, model: Any, tokenizer: Any, **options: Any) -> None:
        self.model = Model(model)
        self.told: dict[GenerationRequest, list[Update]] = defaultdict(list)
        self.out = BytesIO()
        self.metrics = Metrics()
        self.lost: list[str] = []
        options = {
            "max_queue": 512,
            "max_batch": 16,
            "budget": 100_000,
            "prefill_chunk": 64,
            **options,
        }
        batch, reason = prepare_batching(self.model, options["max_batch"], 512)
        assert batch is not None, reason
        self.pool = batch.pool
        self.worker: GenerationWorker = BatchedWorker(
            batch,
            options["max_batch"],
            options.get("allowed", lambda held: options["budget"]),
            options["prefill_chunk"],
            tokenizer,
            options["max_queue"],
            ServerHooks(EventLog(self.out), self.metrics, self.run, self.lost.append),
        )
        self.model.batches.clear()
        self.worker.start()

    @staticmethod
    def run(calls: list[Any]) -> None:
        for call in calls:
            call()

    def ask(self, prompt: Sequence[int], tokens: int = 24, **wishes: Any) -> GenerationRequest:
        prompts = prompt if isinstance(prompt[0], list) else [prompt]
        wishes = {"sampling": GREEDY, "ignore_eos": True, **wishes}
        return self.submit(
            GenerationRequest(
                prompts=prompts, max_new_tokens=[tokens] * len(prompts), deliver=lambda update: None, **wishes
            )
        )

    def submit(self, request: GenerationRequest) -> GenerationRequest:
        request.deliver = self.told[request].append
        self.worker.submit(request)
        return request

    def over(self, request: GenerationRequest) -> bool:
        told = list(self.told[request])
        ends = sum(isinstance(update, Finished) for update in told)
        return ends == len(request.prompts) * request.n or any(isinstance(update, ApiError) for update in told)

    def text(self, request: GenerationRequest, index: int = 0) -> str:
        wait_for(lambda: self.over(request), "the end of a request")
        failed = [update for update in self.told[request] if isinstance(update, ApiError)]
        if failed:
            raise failed[0]
        return "".join(u.text for u in self.told[request] if isinstance(u, Piece) and u.index == index)

    def end(self, request: GenerationRequest, index: int = 0) -> Finished:
        self.text(request, index)
        return next(u for u in self.told[request] if isinstance(u, Finished) and u.index == index)

    def lines(self) -> list[str]:
        return self.out.getvalue().decode().splitlines()

    def idle(self) -> bool:
        return self.metrics.running == 0 and self.metrics.waiting == 0


@pytest.fixture
def bench(llama: Any, tokenizer: Any) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(**options: Any) -> Bench:
        made.append(Bench(llama, tokenizer, **options))
        return made[-1]

    yield make
    for one in made:
        one.model.gate.set()
        one.worker.stop()


def generated_alone(llama: Any, tokenizer: Any, prompt: list[int], tokens: int) -> str:
    """What transformers' own generate gives."""
    output = llama.generate(
        torch.tensor([prompt]), max_new_tokens=tokens, do_sample=False, eos_token_id=None, pad_token_id=2
    )
    return str(tokenizer.decode(output[0, len(prompt) :].tolist()))


def test_greedy_rows_of_a_batch_are_equal_to_generate_alone(
    bench: Callable[..., Bench], llama: Any, tokenizer: Any
) -> None:
    one = bench()
    one.model.gate.clear()
    requests = [one.ask(prompt, tokens=20 + 3 * at) for at, prompt in enumerate(PROMPTS)]
    one.model.gate.set()
    for at, (request, prompt) in enumerate(zip(requests, PROMPTS, strict=True)):
        assert one.text(request) == generated_alone(llama, tokenizer, prompt, 20 + 3 * at)
    assert max(rows for rows, _ in one.model.batches) == len(PROMPTS)


def test_rows_join_and_leave_in_flight_and_change_nothing_for_each_other(bench: Callable[..., Bench]) -> None:
    one = bench()
    alone = [one.text(one.ask(prompt, tokens=40)) for prompt in PROMPTS]
    requests = []
    for prompt in PROMPTS:
        seen = len(one.model.batches)
        requests.append(one.ask(prompt, tokens=40))
        wait_for(lambda seen=seen: len(one.model.batches) >= seen + 3 or one.idle(), "three more passes")
    assert [one.text(request) for request in requests] == alone
    assert {rows for rows, _ in one.model.batches} > {1, 2}


def test_a_long_prompt_is_prefilled_in_chunks_while_others_go_on(bench: Callable[..., Bench]) -> None:
    one = bench(prefill_chunk=16)
    first = one.ask(PROMPTS[0], tokens=200)
    wait_for(lambda: len(one.model.batches) > 3, "the first row to be decoded")
    long = [0, *range(100, 250)]
    alone = bench(prefill_chunk=1000)
    second = one.ask(long, tokens=10)
    assert one.text(second) == alone.text(alone.ask(long, tokens=10))
    passes = one.model.batches
    chunks = [at for at, (_, width) in enumerate(passes) if width > 8]
    assert [passes[at][1] for at in chunks] == [16] * 9
    assert all(passes[at + 1] == (1, 1) for at in chunks), "a decoding step after every chunk"
    assert one.end(first).generated == 200


def test_a_row_that_leaves_during_a_prefill_does_not_disturb_it(bench: Callable[..., Bench]) -> None:
    long = [0, *range(100, 250)]
    alone = bench(prefill_chunk=1000)
    expected = alone.text(alone.ask(long, tokens=30))
    one = bench(prefill_chunk=16)
    one.model.gate.clear()
    # they leave while the long prompt is read, first from the middle of the batch and then from its end
    short = [one.ask(prompt, tokens=tokens) for prompt, tokens in zip(PROMPTS[:3], (6, 4, 40), strict=True)]
    request = one.ask(long, tokens=30)
    one.model.gate.set()
    assert one.text(request) == expected
    assert [one.end(row).generated for row in short] == [6, 4, 40]


def test_the_choices_of_a_request_share_the_prompts_prefill(bench: Callable[..., Bench]) -> None:
    one = bench()
    prompt = [0, *range(60, 110)]
    request = one.ask(prompt, tokens=5, n=4)
    texts = [one.text(request, at) for at in range(4)]
    assert len(set(texts)) == 1
    assert sum(width for _, width in one.model.batches if width > 1) == len(prompt)


def test_seeded_choices_are_the_same_again_in_any_company(bench: Callable[..., Bench]) -> None:
    one = bench()
    sampling = SamplingParams(temperature=1.0, seed=5, top_p=0.9)
    request = one.ask(PROMPTS[1], n=2, sampling=sampling)
    alone = [one.text(request, at) for at in range(2)]
    others = [one.ask(prompt, sampling=SamplingParams(temperature=2.0)) for prompt in PROMPTS]
    again = one.ask(PROMPTS[1], n=2, sampling=sampling)
    assert [one.text(again, at) for at in range(2)] == alone
    assert alone[0] != alone[1]
    assert all(one.end(other).reason == "length" for other in others)


def test_a_cancelled_row_stops_within_two_steps_and_the_others_go_on(bench: Callable[..., Bench]) -> None:
    one = bench()
    expected = one.text(one.ask(PROMPTS[2], tokens=300))
    leaving, staying = one.ask(PROMPTS[0], tokens=400), one.ask(PROMPTS[2], tokens=300)
    wait_for(lambda: one.model.batches[-1][0] == 2, "both rows in a batch")
    one.model.gate.clear()
    one.worker.cancel(leaving)
    before = len(one.model.batches)
    one.model.gate.set()
    assert one.text(staying) == expected
    assert not one.told[leaving]
    both = [at for at, (rows, _) in enumerate(one.model.batches) if rows == 2 and at >= before]
    assert len(both) <= 2
    assert any("reason=cancelled" in line for line in one.lines())


def test_a_cancelled_request_leaves_the_queue_without_being_run(bench: Callable[..., Bench]) -> None:
    one = bench(max_batch=1, max_queue=2)
    one.model.gate.clear()
    running = one.ask(PROMPTS[0])
    wait_for(lambda: one.metrics.waiting == 0, "the first to start")
    waiting = [one.ask(PROMPTS[1]), one.ask(PROMPTS[2])]
    with pytest.raises(ApiError) as caught:
        one.ask(PROMPTS[3])
    assert caught.value.status == 429
    assert "Retry-After" in caught.value.headers
    one.worker.cancel(waiting[0])
    last = one.ask(PROMPTS[3])
    one.model.gate.set()
    for request in (running, waiting[1], last):
        assert one.end(request).reason == "length"
    assert not one.told[waiting[0]]


@pytest.mark.parametrize("company", [True, False])
def test_a_client_that_leaves_while_its_row_is_taken_costs_no_other_row(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch, company: bool
) -> None:
    one = bench()
    one.model.gate.clear()
    running = one.ask(PROMPTS[0])
    wait_for(lambda: one.metrics.waiting == 0, "the first to start")
    leaving = one.ask(PROMPTS[1])
    others = [one.ask(PROMPTS[2])] if company else []
    next_waiting = one.worker._next_waiting

    def then_leaves() -> Row | None:
        row = next_waiting()
        if row is not None and row.request is leaving:
            one.worker.cancel(leaving)
        return row

    monkeypatch.setattr(one.worker, "_next_waiting", then_leaves)
    one.model.gate.set()
    for request in (running, *others):
        assert one.end(request).reason == "length"
    assert not one.told[leaving]


def test_end_token_and_limit_give_truthful_reasons_and_counts(
    bench: Callable[..., Bench], llama: Any, tokenizer: Any
) -> None:
    one = bench()
    output = llama.generate(
        torch.tensor([PROMPTS[3]]), max_new_tokens=12, do_sample=False, eos_token_id=None, pad_token_id=2
    )
    tokens = output[0, len(PROMPTS[3]) :].tolist()
    tokenizer.end_tokens = frozenset({tokens[6]})
    place = tokens.index(tokens[6])
    try:
        stopped = one.ask(PROMPTS[3], tokens=12, ignore_eos=False)
        assert one.end(stopped) == Finished(0, "stop", place + 1)
        assert one.text(stopped) == tokenizer.decode(tokens[:place])
    finally:
        tokenizer.end_tokens = frozenset({1})
    assert one.end(one.ask(PROMPTS[3], tokens=12)) == Finished(0, "length", 12)


def test_out_of_memory_in_a_prompt_is_that_requests_error_alone(bench: Callable[..., Bench]) -> None:
    one = bench()
    expected = one.text(one.ask(PROMPTS[2], tokens=60))

    def fault(ids: torch.Tensor) -> None:
        if 300 in ids:
            raise torch.OutOfMemoryError("CUDA out of memory")

    one.model.fault = fault
    staying = one.ask(PROMPTS[2], tokens=60)
    wait_for(lambda: len(one.model.batches) > 70, "the first row to be decoded")
    failing = one.ask([0, 300, 5])
    with pytest.raises(ApiError) as caught:
        one.text(failing)
    assert (caught.value.status, caught.value.code) == (503, "out_of_memory")
    assert one.text(staying) == expected
    assert one.text(one.ask(PROMPTS[2], tokens=60)) == expected
    assert any("reason=error" in line for line in one.lines())


def test_out_of_memory_while_decoding_costs_one_row_and_the_others_go_on(bench: Callable[..., Bench]) -> None:
    one = bench()
    expected = [one.text(one.ask(prompt, tokens=60)) for prompt in PROMPTS[:2]]

    def fault(ids: torch.Tensor) -> None:
        if ids.shape == (3, 1):
            raise torch.OutOfMemoryError("out of memory")

    one.model.fault = fault
    one.model.gate.clear()
    requests = [one.ask(prompt, tokens=60) for prompt in (*PROMPTS[:2], PROMPTS[9])]
    one.model.gate.set()
    assert [one.text(request) for request in requests[:2]] == expected
    with pytest.raises(ApiError, match="out of memory"):
        one.text(requests[2])


def test_a_failing_pass_fails_its_rows_and_the_worker_lives_on(bench: Callable[..., Bench]) -> None:
    one = bench()

    def fault(ids: torch.Tensor) -> None:
        raise ValueError("broken")

    one.model.fault = fault
    with pytest.raises(ApiError) as caught:
        one.text(one.ask(PROMPTS[0]))
    assert caught.value.status == 500
    one.model.fault = lambda ids: None
    assert one.end(one.ask(PROMPTS[0])).reason == "length"
    assert not one.lost


def failing_once(monkeypatch: pytest.MonkeyPatch, name: str, error: Exception, at: int) -> None:
    """Lets a function that the worker calls raise at its call number `at`."""
    real = getattr(batched_worker, name)
    calls = iter(range(1, 1_000_000))

    def call(*arguments: Any) -> Any:
        if next(calls) == at:
            raise error
        return real(*arguments)

    monkeypatch.setattr(batched_worker, name, call)


def test_out_of_memory_in_a_choice_costs_one_row_and_the_others_go_on(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = bench()
    sampling = SamplingParams(seed=3, repetition_penalty=1.2)
    expected = [one.text(one.ask(prompt, tokens=60, sampling=sampling)) for prompt in PROMPTS[:2]]
    # three choices for the prompts, then one for each step
    failing_once(monkeypatch, "choose", torch.OutOfMemoryError("CUDA out of memory"), at=10)
    one.model.gate.clear()
    requests = [one.ask(prompt, tokens=60, sampling=sampling) for prompt in (*PROMPTS[:2], PROMPTS[9])]
    one.model.gate.set()
    assert [one.text(request) for request in requests[:2]] == expected
    with pytest.raises(ApiError, match="out of memory"):
        one.text(requests[2])


@pytest.mark.parametrize("at", [1, 5])
def test_a_choice_that_fails_is_an_error_and_the_worker_lives_on(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    one = bench()
    expected = one.text(one.ask(PROMPTS[1]))
    failing_once(monkeypatch, "choose", OverflowError("too large"), at)
    with pytest.raises(ApiError) as caught:
        one.text(one.ask(PROMPTS[0]))
    assert caught.value.status == 500
    assert one.text(one.ask(PROMPTS[1])) == expected
    assert not one.lost


def test_logprobs_that_fail_are_one_rows_error(bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    one = bench()
    expected = one.text(one.ask(PROMPTS[2], tokens=60))
    failing_once(monkeypatch, "logprobs_of", torch.OutOfMemoryError("out of memory"), at=5)
    one.model.gate.clear()
    staying, failing = one.ask(PROMPTS[2], tokens=60), one.ask(PROMPTS[0], tokens=60, logprobs=2)
    one.model.gate.set()
    with pytest.raises(ApiError, match="out of memory"):
        one.text(failing)
    assert one.text(staying) == expected


@pytest.mark.parametrize("at", [1, 2])
def test_a_step_that_fails_anywhere_fails_its_rows_and_the_worker_lives_on(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    one = bench()
    expected = one.text(one.ask(PROMPTS[1]))
    # asked before the row is taken: with nothing at hand first, then beside the first row
    failing_once(monkeypatch, "fits", ZeroDivisionError("anywhere"), at)
    one.model.gate.clear()
    requests = [one.ask(PROMPTS[0]), one.ask(PROMPTS[2])]
    one.model.gate.set()
    with pytest.raises(ApiError) as caught:
        one.text(requests[0])
    assert caught.value.status == 500
    assert one.end(one.ask(PROMPTS[0])).reason == "length"
    assert one.text(one.ask(PROMPTS[1])) == expected
    wait_for(one.idle, "an idle worker")
    assert not one.lost


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_worker_whose_thread_ends_says_so(bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    one = bench()

    def run(calls: list[Any]) -> None:
        raise ValueError("the loop is gone")

    monkeypatch.setattr(one.worker, "_hooks", replace(one.worker._hooks, to_loop=run))
    one.ask(PROMPTS[0])
    wait_for(lambda: one.lost, "the report")
    assert "the worker failed" in one.lost[0]


def test_a_lost_device_is_reported(bench: Callable[..., Bench]) -> None:
    one = bench()

    def fault(ids: torch.Tensor) -> None:
        raise RuntimeError("CUDA error: device-side assert triggered")

    one.model.fault = fault
    with pytest.raises(ApiError):
        one.text(one.ask(PROMPTS[0]))
    wait_for(lambda: one.lost, "the report")


def test_a_row_whose_numbers_are_not_finite_leaves_nothing_behind_for_the_next_in_its_place(
    llama: Any, tokenizer: Any
) -> None:
    broken = copy.deepcopy(llama)
    with torch.no_grad():
        broken.model.embed_tokens.weight[300] = float("nan")
    one = Bench(broken, tokenizer)
    try:
        expected = one.text(one.ask(PROMPTS[0], tokens=60))
        # The long row is read to its end for every row, and what lies behind a shorter one's end is masked.
        long = one.ask([0, *range(100, 200)], tokens=400)
        wait_for(lambda: one.model.batches[-1] == (1, 1), "the long row to be decoded")
        with pytest.raises(ApiError, match="not finite"):
            one.text(one.ask([0, 300, *range(100, 160)]))
        assert one.text(one.ask(PROMPTS[0], tokens=60)) == expected
        assert not one.over(long)
        one.worker.cancel(long)
    finally:
        one.worker.stop()


def test_a_request_larger_than_the_queue_is_let_in_when_nothing_waits(bench: Callable[..., Bench]) -> None:
    one = bench(max_queue=2, max_batch=1)
    request = one.ask(PROMPTS[0], tokens=3, n=5)
    assert [one.end(request, at).generated for at in range(5)] == [3] * 5


def test_a_small_budget_makes_rows_wait_or_start_again_and_changes_no_answer(bench: Callable[..., Bench]) -> None:
    one = bench()
    expected = [one.text(one.ask(prompt, tokens=300)) for prompt in PROMPTS[:4]]
    small = bench(budget=540)
    requests = [small.ask(prompt, tokens=300) for prompt in PROMPTS[:4]]
    assert [small.text(request) for request in requests] == expected
    assert small.metrics.kv_cells <= 540
    # a row that made room is prefilled again with what it had said so far
    assert max(width for _, width in small.model.batches) > 50
    starts = [line for line in small.lines() if "request-start" in line]
    ends = [line for line in small.lines() if "request-end" in line]
    assert (len(starts), len(ends)) == (4, 4)


def test_rows_let_in_fit_the_budget_as_rows_times_longest() -> None:
    assert fits([], 10_000, 100)
    assert fits([10, 10], 20, 60)
    assert not fits([10, 10], 21, 60)
    assert not fits([31], 5, 60)


def test_the_pool_is_given_back_when_nothing_runs(bench: Callable[..., Bench]) -> None:
    one = bench()
    one.text(one.ask(PROMPTS[0]))
    wait_for(one.idle, "an idle worker")
    assert all(layer.keys.numel() == 0 for layer in one.pool.layers)


def test_a_stream_is_told_piece_by_piece_and_a_plain_request_once(bench: Callable[..., Bench]) -> None:
    one = bench()
    stream, plain = one.ask(PROMPTS[4], stream=True), one.ask(PROMPTS[4])
    assert one.text(stream) == one.text(plain)
    assert sum(isinstance(update, Piece) for update in one.told[stream]) > 5
    assert sum(isinstance(update, Piece) for update in one.told[plain]) == 1


class Clock:
    """Time that passes only where a test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(generation, "Throttle", partial(Throttle, clock=lambda: self.now))


def test_events_tell_progress_without_prompt_text(bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    one = bench(prefill_chunk=8)
    clock = Clock(monkeypatch)

    def pass_time(ids: torch.Tensor) -> None:
        clock.now += 0.03

    one.model.fault = pass_time
    request = one.ask([0, *range(100, 200)], tokens=20)
    one.text(request)
    wait_for(lambda: any("request-end" in line for line in one.lines()), "the end")
    lines = one.lines()
    task = task_of(lines[0])
    assert lines[0] == f"solar: request-start task={task} slot=0 kind=completion prompt_tokens=101"
    # 32 passes of 30 ms each: one line every 250 ms, and one for the first token
    told = [re.sub(r" tps=.*", "", line) for line in lines[1:-1]]
    assert told == [
        f"solar: prefill task={task} slot=0 done=72 total=101",
        f"solar: generating task={task} slot=0 tokens=1",
        f"solar: generating task={task} slot=0 tokens=10",
        f"solar: generating task={task} slot=0 tokens=19",
    ]
    assert "prompt_tokens=101 generated=20 tps=" in lines[-1]
    assert lines[-1].endswith("reason=length")


@pytest.mark.parametrize("tokens", [1, 2, 20])
def test_a_generation_that_takes_no_time_is_told_at_its_first_token(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch, tokens: int
) -> None:
    Clock(monkeypatch)
    one = bench()
    one.text(one.ask(PROMPTS[0], tokens=tokens))
    wait_for(lambda: any("request-end" in line for line in one.lines()), "the end")
    start, generating, end = one.lines()
    assert start.startswith("solar: request-start ")
    # One token has no rate: the time before it was the prompt's.
    assert generating == f"solar: generating task={task_of(start)} slot=0 tokens=1 tps=0.00"
    assert f"generated={tokens} " in end


def task_of(line: str) -> str:
    return line.split("task=")[1].split()[0]


def test_slots_are_small_numbers_and_used_again(bench: Callable[..., Bench]) -> None:
    one = bench()
    for _ in range(3):
        one.text(one.ask(PROMPTS[0], tokens=3))
        wait_for(one.idle, "an idle worker")
    starts = [line for line in one.lines() if "request-start" in line]
    assert [line.split("slot=")[1].split()[0] for line in starts] == ["0", "0", "0"]
    assert len({task_of(line) for line in starts}) == 3
