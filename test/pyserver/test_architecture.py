"""Checkpoints of another kind than the task, of which the weights would fit. Made by the real classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from test_checkpoint import changed, load_folder, refusal

from solar_pyserver.architecture import kind_problem
from solar_pyserver.configuration import parse
from solar_pyserver.errors import ExitCode, StartupError
from solar_pyserver.loading import load
from tiny_models import byte_tokenizer, word_tokenizer

BERT = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
BART = {
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
}
T5 = {"d_model": 32, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
QWEN = {**BERT, "num_key_value_heads": 2, "tie_word_embeddings": True}


def make(folder: Path, config: str, kind: str, **values: Any) -> Path:
    tokenizer = byte_tokenizer() if config in ("Qwen2Config", "GPT2Config") else word_tokenizer()
    told = getattr(transformers, config)(vocab_size=len(tokenizer), **values)
    torch.manual_seed(8)
    getattr(transformers, kind)(told).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("task", "config", "values", "kind", "words"),
    [
        ("classification", "BertConfig", BERT, "BertForTokenClassification", "which labels each token"),
        ("classification", "XLNetConfig", {}, "XLNetForTokenClassification", "which labels each token"),
        ("classification", "BertConfig", {**BERT, "num_labels": 1}, "BertForMultipleChoice", "picks one of several"),
        ("classification", "BertConfig", BERT, "BertModel", "which has no head"),
        ("classification", "BertConfig", BERT, "BertForNextSentencePrediction", "follows another"),
        ("classification", "Qwen2Config", QWEN, "Qwen2ForCausalLM", "serve it as causal"),
        ("classification", "T5Config", T5, "T5ForConditionalGeneration", "turns one text into another"),
        ("causal", "BertConfig", BERT, "BertForMaskedLM", "which fills in masked words"),
        ("causal", "BertConfig", BERT, "BertForPreTraining", "which is for pretraining"),
        ("causal", "BartConfig", BART, "BartForConditionalGeneration", "turns one text into another"),
        ("causal", "T5Config", T5, "T5ForConditionalGeneration", "turns one text into another"),
        ("causal", "Qwen2Config", QWEN, "Qwen2Model", "as a model for embeddings"),
        ("causal", "Qwen2Config", QWEN, "Qwen2ForSequenceClassification", "serve it as classification"),
        ("causal", "Qwen2Config", QWEN, "Qwen2ForTokenClassification", "which labels each token"),
    ],
)
def test_a_checkpoint_of_another_kind_is_refused_in_words(
    tmp_path: Path, task: str, config: str, values: dict[str, Any], kind: str, words: str
) -> None:
    if config == "XLNetConfig":
        values = {"d_model": 32, "n_layer": 1, "n_head": 2, "d_inner": 32}
    message = refusal(make(tmp_path / "model", config, kind, **values), task)
    assert f"config.json says {kind}" in message
    assert words in message


def test_a_checkpoint_that_does_not_say_what_it_is_is_judged_by_its_weights(llama_folder: Path, tmp_path: Path) -> None:
    assert load_folder(changed(llama_folder, tmp_path / "unsaid", architectures=None)).model is not None
    assert load_folder(changed(llama_folder, tmp_path / "own", architectures=["Tiny"])).model is not None


@pytest.mark.parametrize(
    ("name", "task", "known"),
    [
        ("GPT2LMHeadModel", "causal", ()),
        ("GPT2DoubleHeadsModel", "causal", ()),
        ("ReformerModelWithLMHead", "causal", ()),
        ("BertGenerationDecoder", "causal", ("BertGenerationDecoder",)),
        ("Gemma3ForConditionalGeneration", "causal", ("Gemma3ForConditionalGeneration",)),
        ("MPTForCausalLM", "causal", ()),
        ("DebertaV2ForSequenceClassification", "classification", ()),
    ],
)
def test_the_names_of_the_field_for_the_task_are_taken(name: str, task: str, known: tuple[str, ...]) -> None:
    assert kind_problem([name], task, False, known) == ""


XMOD = {**BERT, "languages": ["en_XX", "de_DE"], "max_position_embeddings": 66}


@pytest.mark.parametrize(("task", "kind"), [("classification", "SequenceClassification"), ("causal", "CausalLM")])
@pytest.mark.parametrize(("language", "told"), [(None, "it has none"), ("fr_XX", "it has fr_XX")])
def test_a_model_of_several_languages_that_does_not_say_which_is_refused_in_words(
    tmp_path: Path, task: str, kind: str, language: str | None, told: str
) -> None:
    folder = make(tmp_path / "model", "XmodConfig", f"XmodFor{kind}", **XMOD, default_language="de_DE", is_decoder=True)
    assert load_folder(folder, task).model is not None
    message = refusal(changed(folder, tmp_path / "changed", default_language=language), task)
    assert message.endswith(f"default_language in config.json must be one of its languages, and {told}: en_XX, de_DE")


CODE = """
from transformers import LlamaConfig, LlamaForCausalLM

class OwnConfig(LlamaConfig):
    model_type = "own_llama"

class OwnModel(LlamaForCausalLM):
    config_class = OwnConfig
"""


def test_a_models_own_code_says_itself_what_it_is_for(llama_folder: Path, tmp_path: Path) -> None:
    """Its class may be called anything, as ChatGLM's is."""
    told = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}
    folder = changed(llama_folder, tmp_path / "own", model_type="own_llama", architectures=["OwnModel"], auto_map=told)
    (folder / "own.py").write_text(CODE)
    assert type(load_folder(folder, "causal", "--trust-remote-code").model).__name__ == "OwnModel"
    with pytest.raises(StartupError) as caught:
        load(parse(["classification", "--model", str(folder), "--trust-remote-code"]), lambda stage, progress: None)
    assert caught.value.code is ExitCode.MODEL
    assert "OwnModel" in str(caught.value)
    assert json.loads((folder / "config.json").read_text())["architectures"] == ["OwnModel"]
