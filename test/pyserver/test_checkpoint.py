"""Checkpoints that are damaged or are of another kind than config.json says. Made by the real classes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from solar_pyserver.configuration import parse
from solar_pyserver.errors import ExitCode, StartupError
from solar_pyserver.loading import Loaded, load

Weights = dict[str, torch.Tensor]


def changed(source: Path, target: Path, weights: Callable[[Weights], Weights] | None = None, **config: Any) -> Path:
    """A copy of a model with other weights, or with other values in config.json."""
    shutil.copytree(source, target)
    if weights is not None:
        file = target / "model.safetensors"
        save_file(weights(load_file(file)), file, metadata={"format": "pt"})
    told = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps({**told, **config}))
    return target


def load_folder(folder: Path, task: str = "causal", *flags: str) -> Loaded:
    return load(parse([task, "--model", str(folder), "--device", "cpu", *flags]), lambda stage, progress: None)


def refusal(folder: Path, task: str = "causal", *flags: str) -> str:
    with pytest.raises(StartupError) as caught:
        load_folder(folder, task, *flags)
    assert caught.value.code is ExitCode.MODEL
    message = str(caught.value)
    assert message.startswith(f"cannot load model {folder}: ")
    assert "\n" not in message
    return message


def without(part: str) -> Callable[[Weights], Weights]:
    return lambda weights: {name: value for name, value in weights.items() if part not in name}


def renamed(part: str, end: str, other: str) -> Callable[[Weights], Weights]:
    return lambda weights: {
        name.removesuffix(end) + other if part in name else name: value for name, value in weights.items()
    }


def beside(part: str, end: str, extra: str) -> Callable[[Weights], Weights]:
    return lambda weights: {
        **weights,
        **{name.removesuffix(end) + extra: torch.ones(1) for name in weights if part in name},
    }


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (without("layers.1."), ["random numbers", "model.layers.1.input_layernorm.weight", "and 6 more"]),
        (without("layers.1.mlp"), ["random numbers", "model.layers.1.mlp.down_proj.weight"]),
        (without("model.norm"), ["random numbers", "model.norm.weight"]),
        (without("lm_head"), ["no text generation model", "lm_head.weight"]),
        (renamed("mlp", "weight", "qweight"), ["mlp.down_proj.weight", "qweight", "GPTQ or AWQ"]),
        (renamed("mlp", "weight", "weight_packed"), ["mlp.down_proj.weight", "compressed-tensors"]),
        (beside("mlp", "weight", "weight_scale_inv"), ["weight_scale_inv", "FP8", "no quantization_config"]),
        (beside("mlp", "weight", "SCB"), ["bitsandbytes 8-bit"]),
        (beside("mlp", "weight", "weight.absmax"), ["bitsandbytes 4-bit"]),
    ],
)
def test_weights_that_are_missing_or_quantized_otherwise_end_the_start_and_are_named(
    llama_folder: Path, tmp_path: Path, weights: Callable[[Weights], Weights], words: list[str]
) -> None:
    message = refusal(changed(llama_folder, tmp_path / "model", weights))
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("classifier.", "no classification model: it lacks classifier.bias, classifier.weight"),
        ("pooler", "random numbers: bert.pooler.dense.bias"),
        ("layer.1.attention", "random numbers: bert.encoder.layer.1.attention"),
        ("word_embeddings", "random numbers: bert.embeddings.word_embeddings.weight"),
    ],
)
def test_a_classifier_that_lacks_its_head_or_a_part_of_its_body_ends_the_start(
    bert_folder: Path, tmp_path: Path, part: str, words: str
) -> None:
    assert words in refusal(changed(bert_folder, tmp_path / "model", without(part)), "classification")


def test_a_head_that_is_tied_to_the_embedding_need_not_be_in_the_checkpoint(llama_folder: Path, tmp_path: Path) -> None:
    folder = changed(llama_folder, tmp_path / "tied", without("lm_head"), tie_word_embeddings=True)
    model = load_folder(folder).model
    assert torch.equal(model.lm_head.weight, model.model.embed_tokens.weight)


def test_what_the_code_computes_itself_need_not_be_in_the_checkpoint(bert_folder: Path, tmp_path: Path) -> None:
    """Older checkpoints hold the counts of positions, newer ones do not; both load."""

    def with_positions(weights: Weights) -> Weights:
        return {**weights, "bert.embeddings.position_ids": torch.arange(512)[None]}

    for name, weights in (("older", with_positions), ("newer", without("position_ids"))):
        assert load_folder(changed(bert_folder, tmp_path / name, weights), "classification").model is not None


def test_sizes_that_differ_are_told_with_both(llama_folder: Path, bert_folder: Path, tmp_path: Path) -> None:
    """The embedding, and a head for another count of labels."""
    message = refusal(changed(llama_folder, tmp_path / "vocabulary", vocab_size=500))
    assert "model.embed_tokens.weight is [400, 64] in the checkpoint and [500, 64] by config.json" in message
    labels = {"0": "a", "1": "b", "2": "c"}
    folder = changed(bert_folder, tmp_path / "labels", id2label=labels, label2id={})
    message = refusal(folder, "classification")
    assert "classifier.weight is [2, 64] in the checkpoint and [3, 64] by config.json" in message


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 9\n"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("model.safetensors", lambda whole: POINTER, "model.safetensors is a pointer of Git LFS"),
        ("tokenizer.json", lambda whole: POINTER, "tokenizer.json is a pointer of Git LFS"),
        ("model.safetensors", lambda whole: whole[:-100], "model.safetensors is not whole: it has "),
        ("model.safetensors", lambda whole: whole[:50], "model.safetensors is no whole safetensors file: it has 50"),
        ("model.safetensors", lambda whole: b"", "model.safetensors is no whole safetensors file: it has 0"),
        ("model.safetensors", lambda whole: whole[:8] + b"x" * (len(whole) - 8), "its header cannot be read"),
    ],
)
def test_a_file_that_is_not_whole_ends_the_start_and_is_named(
    llama_folder: Path, tmp_path: Path, name: str, content: Callable[[bytes], bytes], words: str
) -> None:
    folder = changed(llama_folder, tmp_path / "model")
    (folder / name).write_bytes(content((folder / name).read_bytes()))
    assert words in refusal(folder)


def test_only_the_files_that_are_loaded_must_be_whole(llama: Any, llama_folder: Path, tmp_path: Path) -> None:
    folder = changed(llama_folder, tmp_path / "model")
    for name in ("consolidated.safetensors", "pytorch_model.bin", "tokenizer.model"):
        (folder / name).write_bytes(POINTER)
    assert load_folder(folder).model is not None
    (folder / "model.safetensors").unlink()
    llama.save_pretrained(folder, max_shard_size="100KB")
    assert load_folder(folder).model is not None
    shard = sorted(folder.glob("model-*.safetensors"))[1]
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-8])
    assert f"{shard.name} is not whole: it has {len(whole) - 8} of {len(whole)} bytes" in refusal(folder)
    shard.unlink()
    assert f"{shard.name} is missing, and the index of the weights names it" in refusal(folder)


@pytest.mark.parametrize("labels", [["a", "b"], {"x": "a", "y": "b"}, "a"])
def test_label_names_that_are_not_by_number_end_the_start(bert_folder: Path, tmp_path: Path, labels: Any) -> None:
    message = refusal(changed(bert_folder, tmp_path / "model", id2label=labels), "classification")
    assert "id2label in config.json must be an object of label names by number" in message


def test_weights_that_the_model_has_no_place_for_are_told(llama_folder: Path, tmp_path: Path) -> None:
    assert load_folder(llama_folder).notice == ""
    told = load_folder(changed(llama_folder, tmp_path / "model", num_hidden_layers=1)).notice
    assert "no place for weights of the checkpoint: model.layers.1.input_layernorm.weight" in told
    assert "and 6 more" in told
