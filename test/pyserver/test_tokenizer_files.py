"""Models whose tokenizer files are missing, in whole or in part."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_checkpoint import changed, load_folder, refusal
from transformers import CanineTokenizer

from solar_pyserver.tokenizer_files import is_empty, missing_files
from tiny_models import make_gpt2_classifier, make_roberta

VOCABULARY = "vocab.json"


@pytest.mark.parametrize("also", [(), ("tokenizer_config.json",)])
@pytest.mark.parametrize("kind", ["llama", "bert", "gpt2", "roberta"])
def test_a_model_without_tokenizer_files_ends_the_start_which_names_them(
    llama_folder: Path, bert_folder: Path, tmp_path: Path, kind: str, also: tuple[str, ...]
) -> None:
    folder = tmp_path / "model"
    if kind in ("llama", "bert"):
        changed(llama_folder if kind == "llama" else bert_folder, folder)
    else:
        (make_gpt2_classifier if kind == "gpt2" else make_roberta)(folder)
    for name in ("tokenizer.json", *also):
        (folder / name).unlink()
    message = refusal(folder, "causal" if kind == "llama" else "classification")
    assert "the folder has no tokenizer files (tokenizer.json, tokenizer.model, vocab.txt" in message


def test_one_file_of_two_is_not_enough(tmp_path: Path) -> None:
    folder = make_gpt2_classifier(tmp_path / "model")
    (folder / "tokenizer.json").unlink()
    (folder / VOCABULARY).write_text(json.dumps({"good": 0, "bad": 1}))
    assert "its tokenizer lacks merges.txt" in refusal(folder, "classification")
    (folder / VOCABULARY).rename(folder / "merges.txt")
    assert "its tokenizer lacks vocab.json" in refusal(folder, "classification")


def test_a_vocabulary_without_words_is_no_tokenizer(bert_folder: Path, tmp_path: Path) -> None:
    folder = changed(bert_folder, tmp_path / "model")
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n")
    message = refusal(folder, "classification")
    assert "it has no tokenizer: tokenizer.json or vocab.txt is missing or holds no words" in message
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\ngood\nbad\n")
    assert load_folder(folder, "classification").tokenizer("good bad")["input_ids"] == [2, 5, 6, 3]


def test_a_tokenizer_that_is_made_of_no_files_needs_none() -> None:
    assert not is_empty(CanineTokenizer())


def test_each_kind_of_vocabulary_is_enough() -> None:
    for name in ("tokenizer.json", "tokenizer.model", "vocab.txt", "sentencepiece.bpe.model", "qwen.tiktoken"):
        assert missing_files(["config.json", name]) == ""
    assert missing_files(["vocab.json", "merges.txt"]) == ""
