"""The shipped trained models give the words and labels that were written down when they were made."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from server_process import ServerProcess

MODELS = Path(__file__).resolve().parents[1] / "fixtures" / "models"
EXPECTED: dict[str, Any] = json.loads((MODELS / "expected.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def client(start_server: Callable[..., ServerProcess]) -> OpenAI:
    # The least lead that a greedy word has is smaller than half precision can tell.
    server = start_server("causal", "--model", str(MODELS / "solar-tiny"), "--alias", "solar", "--dtype", "float32")
    server.wait_ready()
    return OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


def chat(client: OpenAI, case: dict[str, Any]) -> Any:
    return client.chat.completions.create(
        model="solar", messages=case["messages"], temperature=0, max_tokens=EXPECTED["chat_max_tokens"]
    )


def test_chat_gives_the_known_words_with_all_requests_in_one_batch(client: OpenAI) -> None:
    with ThreadPoolExecutor(len(EXPECTED["chat"])) as pool:
        answers = list(pool.map(lambda case: chat(client, case), EXPECTED["chat"]))
    for case, answer in zip(EXPECTED["chat"], answers, strict=True):
        [choice] = answer.choices
        assert choice.message.content == case["answer"]
        assert choice.finish_reason == case["finish_reason"]
        assert answer.usage.prompt_tokens == case["prompt_tokens"]
        assert answer.usage.completion_tokens == case["completion_tokens"]


def test_completions_give_the_known_words(client: OpenAI) -> None:
    for case in EXPECTED["completion"]:
        answer = client.completions.create(
            model="solar", prompt=case["prompt"], temperature=0, max_tokens=case["max_tokens"]
        )
        assert answer.choices[0].text == case["answer"]
        assert answer.choices[0].finish_reason == case["finish_reason"]


def test_sentences_never_seen_in_training_get_their_label(start_server: Callable[..., ServerProcess]) -> None:
    server = start_server("classification", "--model", str(MODELS / "solar-sentiment"), "--dtype", "float32")
    server.wait_ready()
    cases = EXPECTED["classification"]
    status, answer, _ = server.request("POST", "/v1/classify", {"input": [case["text"] for case in cases]})
    assert status == 200
    for case, choice in zip(cases, answer["choices"], strict=True):
        assert choice["label"] == case["label"], case["text"]
        assert choice["score"] == pytest.approx(case["score"], abs=1e-3)
