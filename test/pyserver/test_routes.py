"""The routes by themselves: which thread reads a body, and what is refused before the worker is asked."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from tokenizers import processors

from server_process import PATIENCE_S
from solar_pyserver.errors import ApiError
from solar_pyserver.generation import Finished, Piece, Update
from solar_pyserver.http import classify
from solar_pyserver.http.asgi import INLINE_BYTES, MAX_BODY_BYTES, ClientLeft, read_body
from solar_pyserver.http.classify import ClassifyRoutes
from solar_pyserver.http.generate import GenerationRoutes
from solar_pyserver.responses import GenerationResponse
from solar_pyserver.sampling import TokenLogprob
from solar_pyserver.schemas import MAX_TEXTS
from solar_pyserver.tokenizing import ClassifierTokenizer
from tiny_models import byte_tokenizer


class Full:
    """A worker that refuses, so that a request ends as soon as its body was read."""

    def submit(self, request: Any) -> None:
        raise ApiError(429, "full")

    def cancel(self, request: Any) -> None:
        pass


class Endless:
    """A worker that never answers, and remembers whom it let go of."""

    def __init__(self) -> None:
        self.submitted: list[Any] = []
        self.cancelled: list[Any] = []
        self.submit = self.submitted.append
        self.cancel = self.cancelled.append


class Tokenizer:
    """Remembers the threads that it worked in."""

    raw: Any = None

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []

    def encode(self, text: Any, *rest: Any) -> Any:
        self.threads.append(threading.current_thread())
        return [{"input_ids": [1]}] if isinstance(text, list) else [1]

    def encode_chat(self, messages: Any, variables: Any) -> list[int]:
        self.threads.append(threading.current_thread())
        return [1]


def ask(route: Callable[..., Any], body: Any) -> ApiError:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": json.dumps(body).encode()}

    async def send(message: Any) -> None:
        raise AssertionError("nothing is to be answered")

    with pytest.raises(ApiError) as caught:
        asyncio.run(route({}, receive, send))
    return caught.value


@pytest.mark.parametrize("kind", ["classify", "complete"])
def test_a_client_that_leaves_lets_go_of_its_request(kind: str) -> None:
    worker: Any = Endless()
    tokenizer: Any = Tokenizer()
    classification = ClassifyRoutes(worker, tokenizer, "alias", ["a"], 100)
    generation = GenerationRoutes(worker, tokenizer, "alias", 100, 100)
    messages = iter(
        [
            {"type": "http.request", "body": b'{"input": "x"}' if kind == "classify" else b'{"prompt": "x"}'},
            {"type": "http.disconnect"},
        ]
    )

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        raise AssertionError("the client has left")

    route = classification.classify if kind == "classify" else generation.complete
    with pytest.raises(ClientLeft):
        asyncio.run(asyncio.wait_for(route({}, receive, send), PATIENCE_S))
    assert worker.submitted
    assert worker.cancelled == worker.submitted


def test_a_body_is_read_up_to_its_limit() -> None:
    def receiver(parts: int) -> Callable[[], Any]:
        left = iter(range(parts, 0, -1))

        async def receive() -> Any:
            return {"type": "http.request", "body": b"x" * (MAX_BODY_BYTES // 4), "more_body": next(left) > 1}

        return receive

    assert len(asyncio.run(read_body({}, receiver(4)))) == MAX_BODY_BYTES
    with pytest.raises(ApiError) as caught:
        asyncio.run(read_body({}, receiver(5)))
    assert caught.value.status == 413


def test_more_texts_than_one_request_may_have_are_a_422() -> None:
    full: Any = Full()
    tokenizer: Any = Tokenizer()
    routes = ClassifyRoutes(full, tokenizer, "alias", ["a"], 100)
    assert ask(routes.classify, {"input": ["x"] * MAX_TEXTS}).status == 429
    error = ask(routes.classify, {"input": ["x"] * (MAX_TEXTS + 1)})
    assert (error.status, error.param) == (422, "input")


@pytest.mark.parametrize("chat", [True, False])
def test_a_probability_of_nothing_has_the_logprob_that_json_can_hold(chat: bool, tokenizer: Any) -> None:
    answer = GenerationResponse(chat, "alias", tokenizer)
    never = float("-inf")
    logprobs = answer.logprobs(0, [TokenLogprob(5, never, ((6, never),))])
    assert logprobs.count("-9999.0") == 2
    assert "Infinity" not in logprobs


def test_a_text_without_tokens_is_a_422_that_names_it() -> None:
    raw = byte_tokenizer()
    # As GPT-2's: nothing is added to a text.
    raw._tokenizer.post_processor = processors.TemplateProcessing(single="$A", special_tokens=[])
    full: Any = Full()
    routes = ClassifyRoutes(full, ClassifierTokenizer(raw, 100), "alias", ["a"], 100)
    for wish, where in (("", "input[0]"), (["good", ""], "input[1]")):
        error = ask(routes.classify, {"input": wish})
        assert (error.status, error.param) == (422, where)
        assert where in str(error)


LONG = "x" * INLINE_BYTES


@pytest.mark.parametrize(
    ("kind", "body", "long"),
    [
        ("complete", {"prompt": "x"}, False),
        ("complete", {"prompt": LONG}, True),
        ("complete", {"prompt": "x", "metadata": LONG}, True),
        ("chat", {"messages": [{"role": "user", "content": "x"}]}, False),
        ("chat", {"messages": [{"role": LONG, "content": "x"}]}, True),
        ("classify", {"input": "x"}, False),
        ("classify", {"input": LONG}, True),
    ],
)
def test_a_long_body_is_read_and_tokenised_away_from_the_event_loop(kind: str, body: Any, long: bool) -> None:
    tokenizer: Any = Tokenizer()
    full: Any = Full()
    generation = GenerationRoutes(full, tokenizer, "alias", 100, 100)
    classification = ClassifyRoutes(full, tokenizer, "alias", ["a"], 100)
    routes = {"complete": generation.complete, "chat": generation.chat, "classify": classification.classify}
    assert ask(routes[kind], body).status == 429
    [thread] = tokenizer.threads
    assert (thread is not threading.main_thread()) == long


class Told:
    """A worker that has its answer at once: for generation some updates, for classification a text's scores."""

    def __init__(self, updates: Sequence[Update] = (), scores: Sequence[list[float]] = ()) -> None:
        self._updates = updates
        self._scores = scores

    def submit(self, request: Any) -> None:
        for update in self._updates:
            request.deliver(update)
        if self._scores:
            request.scores = list(self._scores)
            request.deliver(None)

    def cancel(self, request: Any) -> None:
        pass


def sent_by(route: Callable[..., Any], body: Any) -> str:
    messages: list[Any] = []

    async def receive() -> dict[str, Any]:
        if messages or asked:
            await asyncio.sleep(PATIENCE_S)
        asked.append(True)
        return {"type": "http.request", "body": json.dumps(body).encode()}

    async def send(message: Any) -> None:
        messages.append(message)

    asked: list[bool] = []
    asyncio.run(route({}, receive, send))
    return b"".join(message.get("body", b"") for message in messages).decode()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", ["chat", "complete"])
def test_log_probabilities_are_written_away_from_the_event_loop(
    kind: str, stream: bool, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[threading.Thread] = set()
    behind = tokenizer.text_behind

    def text_behind(*arguments: Any) -> str:
        threads.add(threading.current_thread())
        return str(behind(*arguments))

    monkeypatch.setattr(tokenizer, "text_behind", text_behind)
    logprobs = (TokenLogprob(50, -1.0, ((50, -1.0), (60, -2.0)), text="a"),)
    worker: Any = Told([Piece(0, "a", logprobs), Piece(0, "a", logprobs), Finished(0, "stop", 2)])
    routes = GenerationRoutes(worker, tokenizer, "alias", 100, 400)
    chat = {"messages": [{"role": "user", "content": "x"}], "logprobs": True, "top_logprobs": 2}
    body = chat if kind == "chat" else {"prompt": "x", "logprobs": 2}
    text = sent_by({"chat": routes.chat, "complete": routes.complete}[kind], {**body, "stream": stream})
    assert text.count("-2.0") == 2
    assert threads
    assert threading.main_thread() not in threads


@pytest.mark.parametrize(("texts", "away"), [(1, False), (300, True)])
def test_an_answer_of_many_scores_is_written_away_from_the_event_loop(
    texts: int, away: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[threading.Thread] = set()
    written = classify.classification_response

    def write(*arguments: Any) -> bytes:
        threads.add(threading.current_thread())
        return written(*arguments)

    monkeypatch.setattr(classify, "classification_response", write)
    worker: Any = Told(scores=[[0.1, 0.2, 0.3, 0.4]] * texts)
    routes = ClassifyRoutes(worker, ClassifierTokenizer(byte_tokenizer(), 100), "alias", ["a", "b", "c", "d"], 100)
    told = json.loads(sent_by(routes.classify, {"input": ["x"] * texts, "return_all_scores": True}))
    assert [choice["label"] for choice in told["choices"]] == ["d"] * texts
    assert [score["score"] for score in told["choices"][-1]["all_scores"]] == [0.1, 0.2, 0.3, 0.4]
    assert (threading.main_thread() not in threads) == away
