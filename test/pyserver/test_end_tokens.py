"""The tokens that end an answer, by the files that may name them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from test_checkpoint import changed, load_folder

# Llama's class says 2 where its config says nothing; the tiny model's tokenizer says 1.
CLASS_DEFAULT = 2


def folder_with(source: Path, target: Path, config: Any, generation: Any, tokenizer: str | None) -> Path:
    """A copy whose files name these end tokens; None says nothing, or leaves the file out."""
    folder = changed(source, target)
    told = json.loads((folder / "config.json").read_text())
    del told["eos_token_id"]
    (folder / "config.json").write_text(json.dumps(told if config is None else {**told, "eos_token_id": config}))
    if generation is None:
        (folder / "generation_config.json").unlink()
    else:
        (folder / "generation_config.json").write_text(json.dumps(generation))
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "eos_token": tokenizer}))
    return folder


@pytest.mark.parametrize(
    ("config", "generation", "tokenizer", "ends"),
    [
        (None, {"eos_token_id": 7}, None, {7}),
        (None, {"eos_token_id": [7, 8]}, None, {7, 8}),
        (None, {"eos_token_id": 7}, "</s>", {7, 1}),
        (9, {"eos_token_id": 7}, None, {7}),
        (9, None, None, {9}),
        ([9, 10], None, "</s>", {9, 10, 1}),
        (9, {"temperature": 0.5}, None, {9}),
        (None, None, "</s>", {1}),
        (None, {"temperature": 0.5}, "</s>", {1}),
        (-1, None, "</s>", {1}),
        (None, None, None, {CLASS_DEFAULT}),
    ],
)
def test_answers_end_where_the_files_say_and_not_where_the_class_does(
    llama_folder: Path, tmp_path: Path, config: Any, generation: Any, tokenizer: str | None, ends: set[int]
) -> None:
    folder = folder_with(llama_folder, tmp_path / "model", config, generation, tokenizer)
    assert load_folder(folder).end_tokens == ends
