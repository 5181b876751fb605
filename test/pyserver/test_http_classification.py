from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from server_process import ServerProcess
from tiny_models import make_bert, make_gpt2_classifier, make_longrope_classifier, make_roberta


def classify(server: ServerProcess, **body: Any) -> Any:
    status, answer, _ = server.request("POST", "/v1/classify", {"model": "tiny:bert", **body})
    assert status == 200, answer
    return answer


def test_one_text_gives_one_choice(classifier: ServerProcess) -> None:
    answer = classify(classifier, input="good great fine")
    assert answer["id"].startswith("clf-")
    assert answer["object"] == "classification"
    assert answer["model"] == "tiny:bert"
    [choice] = answer["choices"]
    assert set(choice) == {"index", "label", "score"}
    assert choice["label"] in ("negative", "positive")
    assert 0.5 <= choice["score"] <= 1
    # three words between [CLS] and [SEP]
    assert answer["usage"] == {"prompt_tokens": 5, "total_tokens": 5}


def test_several_texts_give_choices_in_order_and_usage_without_padding(classifier: ServerProcess) -> None:
    texts = ["good", "bad awful terrible poor sad bad", "fine day"]
    together = classify(classifier, input=texts)
    apart = [classify(classifier, input=text) for text in texts]
    assert [choice["index"] for choice in together["choices"]] == [0, 1, 2]
    for choice, single in zip(together["choices"], apart, strict=True):
        assert choice["label"] == single["choices"][0]["label"]
        assert choice["score"] == pytest.approx(single["choices"][0]["score"], abs=1e-5)
    assert together["usage"]["prompt_tokens"] == sum(single["usage"]["prompt_tokens"] for single in apart)


def test_all_scores_has_every_class(classifier: ServerProcess) -> None:
    [choice] = classify(classifier, input="good", return_all_scores=True)["choices"]
    assert [entry["label"] for entry in choice["all_scores"]] == ["negative", "positive"]
    assert sum(entry["score"] for entry in choice["all_scores"]) == pytest.approx(1)
    assert max(choice["all_scores"], key=lambda entry: entry["score"])["label"] == choice["label"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"input": ["good", 5, "bad"]}, "input[1]"),
        ({"input": ["good", None]}, "input[1]"),
        ({"input": 7}, "input"),
        ({"input": []}, "input is empty"),
        ({"input": "half \ud83d"}, "input"),
        ({"input": ["good", "half \ud83d"]}, "input[1]"),
        ({}, "input"),
        ({"input": "good", "top_n": 3}, "top_n"),
    ],
)
def test_a_body_that_does_not_fit_is_a_422_that_names_the_field(
    classifier: ServerProcess, body: dict[str, Any], words: str
) -> None:
    status, answer, _ = classifier.request("POST", "/v1/classify", body)
    assert status == 422
    assert words in answer["error"]["message"]
    assert answer["error"]["type"] == "invalid_request_error"


def test_a_text_over_the_context_is_refused_and_cut_only_when_asked(classifier: ServerProcess) -> None:
    status, answer, _ = classifier.request("POST", "/v1/classify", {"input": ["good", "bad " * 100]})
    assert status == 400
    assert answer["error"]["code"] == "context_length_exceeded"
    assert answer["error"]["param"] == "input[1]"
    cut = classify(classifier, input="bad " * 100, truncate=True)
    assert cut["usage"]["prompt_tokens"] == 64
    assert classifier.request("POST", "/v1/classify", {"input": "bad " * 100})[0] == 400


def test_a_model_whose_positions_begin_behind_the_padding_has_a_smaller_context(
    start_server: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    server = start_server("classification", "--model", str(make_roberta(tmp_path / "roberta", positions=66)))
    server.wait_ready()
    assert server.request("GET", "/health")[1]["context"] == 64
    # [CLS] and [SEP] beside the words
    assert server.request("POST", "/v1/classify", {"input": "good " * 62})[0] == 200
    status, answer, _ = server.request("POST", "/v1/classify", {"input": "good " * 63})
    assert (status, answer["error"]["code"]) == (400, "context_length_exceeded")


def test_without_a_padding_token_texts_are_taken_singly(
    start_server: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    server = start_server("classification", "--model", str(make_gpt2_classifier(tmp_path / "gpt2")))
    server.wait_ready()
    why = "its tokenizer has no padding token"
    assert server.request("GET", "/health")[1]["batching"] == f"one at a time: {why}"
    assert f"solar: notice message=requests are not batched but run one at a time: {why}" in server.lines
    before = server.metric("batches_total")
    texts = ["good", "bad awful terrible poor sad bad", "fine day"]
    together = classify(server, input=texts)["choices"]
    assert server.metric("batches_total") == before + 3
    assert [choice["score"] for choice in together] == [
        pytest.approx(classify(server, input=text)["choices"][0]["score"], abs=1e-5) for text in texts
    ]


def test_texts_whose_positions_depend_on_their_company_are_taken_singly(
    start_server: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    server = start_server("classification", "--model", str(make_longrope_classifier(tmp_path / "longrope")))
    server.wait_ready()
    why = "its rotary positions depend on the longest text"
    assert server.request("GET", "/health")[1]["batching"] == f"one at a time: {why}"
    assert f"solar: notice message=requests are not batched but run one at a time: {why}" in server.lines
    texts = ["good fine day bad " * 2, "bad awful terrible poor sad " * 4, "fine good day sad " * 2]
    together = classify(server, input=texts)["choices"]
    assert [choice["score"] for choice in together] == [
        pytest.approx(classify(server, input=text)["choices"][0]["score"], abs=1e-5) for text in texts
    ]


def test_many_clients_at_once_get_what_each_gets_alone(classifier: ServerProcess) -> None:
    texts = [("good bad fine sad " * 9)[: 5 + at] for at in range(64)]
    alone = [classify(classifier, input=text)["choices"][0] for text in texts]
    with ThreadPoolExecutor(32) as pool:
        together = list(pool.map(lambda text: classify(classifier, input=text)["choices"][0], texts))
    for choice, single in zip(together, alone, strict=True):
        assert choice["label"] == single["label"]
        assert choice["score"] == pytest.approx(single["score"], abs=1e-5)


def test_generation_is_not_served_by_a_classifier(classifier: ServerProcess) -> None:
    assert classifier.request("POST", "/v1/chat/completions", {"messages": []})[0] == 404


def test_without_a_key_the_server_is_open(classifier: ServerProcess) -> None:
    assert classifier.request("GET", "/v1/models")[0] == 200
    health = classifier.request("GET", "/health")[1]
    assert health["labels"] == ["negative", "positive"]
    assert (health["status"], health["model_type"], health["architecture"]) == ("healthy", "classification", "bert")
    assert health["batching"] == "in batches"


def test_given_labels_are_used_and_a_wrong_count_ends_the_start(
    start_server: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    folder = make_bert(tmp_path / "three", labels=("LABEL_0", "LABEL_1", "LABEL_2"))
    names = ["negative", "neutral", "positive"]
    server = start_server("classification", "--model", str(folder), "--labels", json.dumps(names))
    wrong = start_server("classification", "--model", str(folder), "--labels", '["no", "yes"]')
    server.wait_ready()
    [choice] = classify(server, input="good", return_all_scores=True)["choices"]
    assert [entry["label"] for entry in choice["all_scores"]] == names
    assert wrong.wait_exit() == 6
    assert "2 names" in wrong.errors[-1]
    assert "3 classes" in wrong.errors[-1]
