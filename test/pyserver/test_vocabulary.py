"""Token ids and labels that do not fit the model. Seen on a CPU as a 500, on CUDA as the end of the process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from test_checkpoint import changed

from server_process import ServerProcess
from solar_pyserver.errors import ApiError
from solar_pyserver.tokenizing import ClassifierTokenizer, require_embedded
from tiny_models import byte_tokenizer, word_tokenizer


def test_a_token_outside_the_embedding_is_a_400_that_names_it() -> None:
    raw = word_tokenizer()
    size = len(raw)
    raw.add_tokens(["extraordinary"])
    tokenizer = ClassifierTokenizer(raw, 100, size)
    assert len(tokenizer.encode(["good bad"], truncate=False)) == 1
    for truncate in (False, True):
        with pytest.raises(ApiError) as caught:
            tokenizer.encode(["good", "an extraordinary day"], truncate)
        assert caught.value.status == 400
        assert caught.value.param == "input[1]"
        assert f"{size} (extraordinary)" in str(caught.value)


def test_negative_ids_and_ids_without_a_name_are_outside_too() -> None:
    for token in (-1, 10**6):
        with pytest.raises(ApiError, match=str(token)):
            require_embedded([1, token], 400, "prompt", byte_tokenizer())
    require_embedded([], 400, "prompt", byte_tokenizer())
    require_embedded([10**6], None, "prompt", byte_tokenizer())


def test_only_the_text_with_an_unknown_token_is_refused(
    start_server: Callable[..., ServerProcess], bert_folder: Path, llama_folder: Path, tmp_path: Path
) -> None:
    bert, llama = changed(bert_folder, tmp_path / "bert"), changed(llama_folder, tmp_path / "llama")
    for folder, raw in ((bert, word_tokenizer()), (llama, byte_tokenizer())):
        raw.add_tokens(["extraordinary"])
        raw.save_pretrained(folder)
    classifier = start_server("classification", "--model", str(bert))
    causal = start_server("causal", "--model", str(llama))
    classifier.wait_ready()
    causal.wait_ready()
    status, answer, _ = classifier.request("POST", "/v1/classify", {"input": "an extraordinary day"})
    assert (status, answer["error"]["code"]) == (400, "invalid_token")
    assert classifier.request("POST", "/v1/classify", {"input": "a good day"})[0] == 200
    asked = {"messages": [{"role": "user", "content": "an extraordinary day"}]}
    for path, body in (("completions", {"prompt": "extraordinary"}), ("chat/completions", asked)):
        status, answer, _ = causal.request("POST", f"/v1/{path}", body)
        assert (status, answer["error"]["code"]) == (400, "invalid_token")
    assert causal.request("POST", "/v1/completions", {"prompt": "sun", "max_tokens": 1})[0] == 200


def test_a_tokenizer_of_another_model_ends_the_start(
    start_server: Callable[..., ServerProcess], bert_folder: Path, tmp_path: Path
) -> None:
    """What it puts round each text is outside the embedding, so that no text could be taken."""
    folder = changed(bert_folder, tmp_path / "model")
    file = folder / "tokenizer.json"
    told = json.loads(file.read_text())
    told["post_processor"]["special_tokens"]["[SEP]"]["ids"] = [5000]
    file.write_text(json.dumps(told))
    server = start_server("classification", "--model", str(folder))
    assert server.wait_exit() == 4
    assert "its tokenizer does not fit: every text has the token id 5000" in server.errors[-1]


@pytest.mark.parametrize(
    ("names", "labels"),
    [({"1": "bad", "2": "good"}, ["bad", "good"]), ({"7": "good", "3": "bad"}, ["bad", "good"])],
)
def test_labels_need_not_count_from_0(
    start_server: Callable[..., ServerProcess],
    bert_folder: Path,
    tmp_path: Path,
    names: dict[str, str],
    labels: list[str],
) -> None:
    folder = changed(bert_folder, tmp_path / "model", id2label=names, label2id={})
    server = start_server("classification", "--model", str(folder))
    server.wait_ready()
    assert server.request("GET", "/health")[1]["labels"] == labels
    [choice] = server.request("POST", "/v1/classify", {"input": "fine", "return_all_scores": True})[1]["choices"]
    assert [entry["label"] for entry in choice["all_scores"]] == labels
