"""The routes by themselves: which thread reads a body, and what is refused before the engine is asked."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from tokenizers import processors

from solar_pyserver.errors import ApiError
from solar_pyserver.http.classify import ClassifyRoutes
from solar_pyserver.http.generate import GenerationRoutes
from solar_pyserver.http.wire import INLINE_BYTES
from solar_pyserver.tokenizing import ClassifierTokenizer
from tiny_models import byte_tokenizer


class Full:
    """An engine that refuses, so that a request ends as soon as its body was read."""

    def submit(self, request: Any) -> None:
        raise ApiError(429, "full")

    def cancel(self, request: Any) -> None:
        pass


class Tokenizer:
    """Remembers the threads that it worked in."""

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
