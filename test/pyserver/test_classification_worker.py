from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from server_process import wait_for
from solar_pyserver import classification_worker
from solar_pyserver.classification_worker import ClassificationWorker, ClassifyRequest, Encoding
from solar_pyserver.errors import ApiError
from solar_pyserver.events import EventLog
from solar_pyserver.metrics import Metrics
from solar_pyserver.scoring import Scorer
from solar_pyserver.worker import ServerHooks
from tiny_models import LINES, make_bert

WORDS = " ".join(LINES).split()
TEXTS = [" ".join(WORDS[at % 7 : at % 7 + 1 + at % 30]) for at in range(90)]


@pytest.fixture(scope="module")
def parts(bert_folder: Path) -> tuple[Any, Any]:
    model = AutoModelForSequenceClassification.from_pretrained(bert_folder).eval()
    return model, AutoTokenizer.from_pretrained(bert_folder)


class Bench:
    def __init__(self, score: Callable[[Sequence[Encoding]], list[list[float]]], **options: Any) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.batches: list[int] = []
        self.out = BytesIO()
        self.told: dict[ClassifyRequest, Exception | None] = {}
        self.lost: list[str] = []

        def gated(batch: Sequence[Encoding]) -> list[list[float]]:
            assert self.gate.wait(60)
            self.batches.append(len(batch))
            return score(batch)

        options = {"max_rows": 64, "max_cells": 16384, "max_queue": 512, **options}
        self.worker = ClassificationWorker(
            gated,
            hooks=ServerHooks(EventLog(self.out), Metrics(), self.run, self.lost.append),
            **options,
        )
        self.worker.start()

    @staticmethod
    def run(calls: list[Any]) -> None:
        for call in calls:
            call()

    def ask(self, encodings: Sequence[Encoding]) -> ClassifyRequest:
        request = ClassifyRequest(encodings, lambda error: self.told.update({request: error}))
        self.worker.submit(request)
        return request

    def scores(self, request: ClassifyRequest) -> list[list[float]]:
        wait_for(lambda: request in self.told, "the scores")
        error = self.told[request]
        if error is not None:
            raise error
        return request.scores


@pytest.fixture
def bench() -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(score: Any, **options: Any) -> Bench:
        made.append(Bench(score, **options))
        return made[-1]

    yield make
    for one in made:
        one.gate.set()
        one.worker.stop()


def encode(tokenizer: Any, texts: Sequence[str]) -> list[Encoding]:
    return [dict(tokenizer(text)) for text in texts]


def one_by_one(model: Any, tokenizer: Any, activation: str = "softmax") -> list[list[float]]:
    """What transformers gives for each text by itself, the plain way."""
    with torch.inference_mode():
        logits = [model(**tokenizer(text, return_tensors="pt")).logits[0] for text in TEXTS]
    return [(torch.softmax(x, -1) if activation == "softmax" else torch.sigmoid(x)).tolist() for x in logits]


def test_batched_scores_equal_those_one_by_one(bench: Callable[..., Bench], parts: Any) -> None:
    model, tokenizer = parts
    one = bench(Scorer(model, tokenizer, "softmax"))
    one.gate.clear()
    requests = [one.ask([encoding]) for encoding in encode(tokenizer, TEXTS)]
    one.gate.set()
    for request, expected in zip(requests, one_by_one(model, tokenizer), strict=True):
        assert one.scores(request)[0] == pytest.approx(expected, abs=1e-5)
    assert max(one.batches) > 8
    assert sum(one.batches) == len(TEXTS)


def test_left_padding_gives_the_same_scores(parts: Any) -> None:
    model, tokenizer = parts
    scorer = Scorer(model, tokenizer, "softmax")
    encodings = encode(tokenizer, TEXTS[:2])
    assert scorer._pad([1, 2], 4, 0) == [1, 2, 0, 0]
    scorer.left = True
    assert scorer._pad([1, 2], 4, 0) == [0, 0, 1, 2]
    assert len(scorer(encodings)) == 2


def test_what_waits_while_the_model_works_is_the_next_batch(bench: Callable[..., Bench], parts: Any) -> None:
    model, tokenizer = parts
    one = bench(Scorer(model, tokenizer, "softmax"))
    encodings = encode(tokenizer, ["good bad good"] * 31)
    one.gate.clear()
    first = one.ask(encodings[:1])
    wait_for(lambda: not one.worker._waiting, "the first to be taken")
    rest = [one.ask([encoding]) for encoding in encodings[1:]]
    one.gate.set()
    for request in (first, *rest):
        one.scores(request)
    assert one.batches == [1, 30]


def test_a_request_of_many_texts_keeps_their_order(bench: Callable[..., Bench], parts: Any) -> None:
    model, tokenizer = parts
    one = bench(Scorer(model, tokenizer, "softmax"), max_rows=8)
    scores = one.scores(one.ask(encode(tokenizer, TEXTS)))
    for values, expected in zip(scores, one_by_one(model, tokenizer), strict=True):
        assert values == pytest.approx(expected, abs=1e-5)
    assert max(one.batches) <= 8


def test_a_request_that_fails_does_not_fail_the_others_in_its_batch(bench: Callable[..., Bench], parts: Any) -> None:
    model, tokenizer = parts
    scorer = Scorer(model, tokenizer, "softmax")

    def score(batch: Sequence[Encoding]) -> list[list[float]]:
        if any(encoding["input_ids"][1] == 9999 for encoding in batch):
            raise IndexError("index out of range")
        return scorer(batch)

    one = bench(score)
    good = encode(tokenizer, ["good bad", "fine day"])
    bad = {name: list(values) for name, values in good[0].items()}
    bad["input_ids"][1] = 9999
    one.gate.clear()
    requests = [one.ask([good[0]]), one.ask([bad]), one.ask([good[1]])]
    one.gate.set()
    assert len(one.scores(requests[0])[0]) == len(one.scores(requests[2])[0]) == 2
    with pytest.raises(ApiError) as caught:
        one.scores(requests[1])
    assert caught.value.status == 500


def test_out_of_memory_in_a_batch_is_taken_text_by_text(bench: Callable[..., Bench], parts: Any) -> None:
    model, tokenizer = parts
    scorer = Scorer(model, tokenizer, "softmax")

    def score(batch: Sequence[Encoding]) -> list[list[float]]:
        if len(batch) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return scorer(batch)

    one = bench(score)
    assert len(one.scores(one.ask(encode(tokenizer, ["good bad"] * 5)))) == 5


def test_scores_that_are_no_numbers_are_an_error(parts: Any) -> None:
    model, tokenizer = parts

    class Broken:
        def __getattr__(self, name: str) -> Any:
            return getattr(model, name)

        def __call__(self, **inputs: Any) -> Any:
            output = model(**inputs)
            output.logits = output.logits * float("nan")
            return output

    with pytest.raises(RuntimeError, match="not finite"):
        Scorer(Broken(), tokenizer, "softmax")(encode(tokenizer, ["good"]))


def test_a_full_queue_is_refused_with_a_time_to_wait(bench: Callable[..., Bench], parts: Any) -> None:
    model, tokenizer = parts
    one = bench(Scorer(model, tokenizer, "softmax"), max_queue=2, max_rows=1)
    [encoding] = encode(tokenizer, ["good"])
    one.gate.clear()
    # some are taken for the next batch, two wait, and then
    requests = [[encoding]] * 100
    with pytest.raises(ApiError) as caught:
        list(map(one.ask, requests))
    assert caught.value.status == 429
    assert caught.value.headers["Retry-After"]


def test_a_cancelled_request_is_not_run(bench: Callable[..., Bench], parts: Any) -> None:
    model, tokenizer = parts
    one = bench(Scorer(model, tokenizer, "softmax"))
    [encoding] = encode(tokenizer, ["good bad fine"])
    one.gate.clear()
    first = one.ask([encoding])
    wait_for(lambda: not one.worker._waiting, "the first to be taken")
    leaving = one.ask([encoding] * 5)
    one.worker.cancel(leaving)
    last = one.ask([encoding])
    one.gate.set()
    one.scores(first)
    one.scores(last)
    assert one.batches == [1, 1]
    assert leaving not in one.told


def test_a_cancelled_request_frees_its_place_in_the_queue(bench: Callable[..., Bench], parts: Any) -> None:
    model, tokenizer = parts
    one = bench(Scorer(model, tokenizer, "softmax"), max_queue=1)
    [encoding] = encode(tokenizer, ["good bad fine"])
    one.gate.clear()
    first = one.ask([encoding])
    wait_for(lambda: not one.worker._waiting, "the first to be taken")
    leaving = one.ask([encoding])
    with pytest.raises(ApiError):
        one.ask([encoding])
    one.worker.cancel(leaving)
    last = one.ask([encoding])
    one.gate.set()
    one.scores(first)
    one.scores(last)
    assert leaving not in one.told


def test_a_lost_device_is_reported(bench: Callable[..., Bench]) -> None:
    def score(batch: Sequence[Encoding]) -> list[list[float]]:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    one = bench(score)
    request = one.ask([{"input_ids": [1]}])
    wait_for(lambda: request in one.told and one.lost, "the report")


def test_a_step_that_fails_anywhere_fails_its_requests_and_the_worker_lives_on(
    bench: Callable[..., Bench], parts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokenizer = parts
    one = bench(Scorer(model, tokenizer, "softmax"))
    [encoding] = encode(tokenizer, ["good bad fine"])
    expected = one.scores(one.ask([encoding]))

    def broken(*ignored: Any) -> Any:
        raise ZeroDivisionError("anywhere")

    with monkeypatch.context() as patch:
        patch.setattr(classification_worker, "pack", broken)
        with pytest.raises(ApiError) as caught:
            one.scores(one.ask([encoding]))
        assert caught.value.status == 500
    assert one.scores(one.ask([encoding])) == expected
    assert not one.lost


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_worker_whose_thread_ends_says_so(
    bench: Callable[..., Bench], parts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tokenizer = parts
    one = bench(Scorer(model, tokenizer, "softmax"))

    def run(calls: list[Any]) -> None:
        raise ValueError("the loop is gone")

    monkeypatch.setattr(one.worker, "_hooks", replace(one.worker._hooks, to_loop=run))
    one.ask(encode(tokenizer, ["good"]))
    wait_for(lambda: one.lost, "the report")
    assert "the worker failed" in one.lost[0]


def test_starts_and_ends_are_told_in_pairs_and_not_for_every_request(bench: Callable[..., Bench], parts: Any) -> None:
    model, tokenizer = parts
    one = bench(Scorer(model, tokenizer, "softmax"))
    [encoding] = encode(tokenizer, ["good bad fine"])
    for request in [one.ask([encoding]) for _ in range(400)]:
        one.scores(request)
    lines = one.out.getvalue().decode().splitlines()
    starts = [line.split("task=")[1].split()[0] for line in lines if "request-start" in line]
    ends = [line.split("task=")[1].split()[0] for line in lines if "request-end" in line]
    assert sorted(starts) == sorted(ends)
    assert 0 < len(starts) < 400
    assert lines[0].endswith("kind=classify prompt_tokens=5")


def test_a_multi_label_model_has_independent_scores(tmp_path: Path) -> None:
    folder = make_bert(tmp_path / "multi", labels=("a", "b", "c"), problem="multi_label_classification")
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    scores = Scorer(model, tokenizer, "sigmoid")(encode(tokenizer, TEXTS[:5]))
    for values, expected in zip(scores, one_by_one(model, tokenizer, "sigmoid")[:5], strict=True):
        assert values == pytest.approx(expected, abs=1e-5)
    assert any(abs(sum(values) - 1) > 0.01 for values in scores)


@pytest.mark.parametrize("fails", [False, True])
def test_a_request_whose_client_leaves_during_its_last_batch_is_over_all_the_same(
    bench: Callable[..., Bench], fails: bool
) -> None:
    def score(batch: Sequence[Encoding]) -> list[list[float]]:
        if fails:
            raise RuntimeError("no scores")
        return [[1.0] for _ in batch]

    one = bench(score)
    one.gate.clear()
    left = one.ask([{"input_ids": [1, 2]}])
    wait_for(lambda: left in one.worker._open, "the batch to begin")
    one.worker.cancel(left)
    one.gate.set()
    wait_for(lambda: not one.worker._open, "nothing to be open")
    assert b"request-end" in one.out.getvalue()
    assert left not in one.told
