"""The routes by themselves: which thread reads a body, and what is refused before the engine is asked."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from tokenizers import processors

from server_process import PATIENCE_S
from solar_pyserver.answers import Answer
from solar_pyserver.errors import ApiError
from solar_pyserver.http.classify import ClassifyRoutes
from solar_pyserver.http.generate import GenerationRoutes
from solar_pyserver.http.wire import INLINE_BYTES, MAX_BODY_BYTES, ClientLeft, read_body
from solar_pyserver.sampling import TokenLogprob
from solar_pyserver.schemas import MAX_TEXTS
from solar_pyserver.tokenizing import ClassifierTokenizer
from tiny_models import byte_tokenizer


class Full:
    """An engine that refuses, so that a request ends as soon as its body was read."""

    def submit(self, request: Any) -> None:
        raise ApiError(429, "full")

    def cancel(self, request: Any) -> None:
        pass


class Endless:
    """An engine that never answers, and remembers whom it let go of."""

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
    engine: Any = Endless()
    tokenizer: Any = Tokenizer()
    classification = ClassifyRoutes(engine, tokenizer, "alias", ["a"], 100)
    generation = GenerationRoutes(engine, tokenizer, "alias", 100, 100)
    messages = iter(
        [
            {"type": "http.request", "body": b'{"input": "x"}' if kind == "classify" else b'{"prompt": "x"}'},
            {"type": "http.disconnect"},
        ]
    )

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        raise AssertionError("nobody is there")

    route = classification.classify if kind == "classify" else generation.complete
    with pytest.raises(ClientLeft):
        asyncio.run(asyncio.wait_for(route({}, receive, send), PATIENCE_S))
    assert engine.submitted
    assert engine.cancelled == engine.submitted


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
    answer = Answer(chat, "alias", tokenizer)
    never = float("-inf")
    logprobs = answer.logprobs(0, [TokenLogprob(5, never, ((6, never),))], asked=True)
    assert "-9999.0" in json.dumps(logprobs, allow_nan=False)


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
