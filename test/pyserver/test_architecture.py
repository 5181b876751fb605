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
GEMMA = {**BERT, "num_key_value_heads": 2, "head_dim": 16}
BOTH_WAYS = {**GEMMA, "use_bidirectional_attention": True}
MISTRAL = {
    "text_config": {"model_type": "mistral", "vocab_size": 400, **GEMMA},
    "vision_config": {"model_type": "pixtral", **BERT, "head_dim": 16, "image_size": 28, "patch_size": 14},
}


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
        ("causal", "Qwen2Config", {**QWEN, "tie_word_embeddings": False}, "Qwen2Model", "as a model for embeddings"),
        ("causal", "BartConfig", BART, "BartModel", "as a model for embeddings"),
        (
            "causal",
            "Gemma3TextConfig",
            {**GEMMA, "use_bidirectional_attention": True},
            "Gemma3TextModel",
            "see the later ones",
        ),
        ("causal", "Mistral3Config", MISTRAL, "Mistral3ForConditionalGeneration", "which takes more than text"),
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
    ("name", "task", "classes"),
    [
        ("GPT2LMHeadModel", "causal", {}),
        ("GPT2DoubleHeadsModel", "causal", {}),
        ("ReformerModelWithLMHead", "causal", {}),
        ("BertGenerationDecoder", "causal", {"bert-generation": "BertGenerationDecoder"}),
        ("Gemma3ForConditionalGeneration", "causal", {"gemma3": ("Gemma3ForConditionalGeneration",)}),
        ("MPTForCausalLM", "causal", {}),
        ("DebertaV2ForSequenceClassification", "classification", {}),
    ],
)
def test_the_names_of_the_field_for_the_task_are_taken(
    name: str, task: str, classes: dict[str, str | tuple[str, ...]]
) -> None:
    assert kind_problem(transformers.PreTrainedConfig(architectures=[name]), task, classes) == ""


def test_a_model_type_that_has_no_class_for_the_task_is_refused_in_words(tmp_path: Path) -> None:
    folder = make(tmp_path / "model", "DistilBertConfig", "DistilBertForMaskedLM", dim=32, n_layers=1, n_heads=2)
    unsaid = changed(folder, tmp_path / "unsaid", architectures=None)
    assert refusal(unsaid).endswith(
        "it is no text generation model: transformers has none of the model type distilbert"
    )


def test_a_model_without_a_head_is_served_where_its_embedding_is_one(tmp_path: Path) -> None:
    whole = make(tmp_path / "whole", "Qwen2Config", "Qwen2ForCausalLM", **QWEN)
    ids = torch.tensor([[5, 9, 30]])
    with torch.inference_mode():
        expected = load_folder(whole).model(input_ids=ids).logits
    body = tmp_path / "body"
    transformers.Qwen2Model.from_pretrained(whole).save_pretrained(body)
    byte_tokenizer().save_pretrained(body)
    loaded = load_folder(body)
    with torch.inference_mode():
        assert torch.equal(loaded.model(input_ids=ids).logits, expected)
    assert loaded.notice == (
        "config.json says Qwen2Model, which has no head: its embedding serves as one, as tie_word_embeddings says"
    )
    # sentence-transformers writes this file.
    (body / "modules.json").write_text("[]")
    assert "as a model for embeddings" in refusal(body)


def test_an_encoder_whose_head_is_missing_is_refused_by_its_weights(tmp_path: Path) -> None:
    message = refusal(make(tmp_path / "model", "BertConfig", "BertModel", **BERT))
    assert "it is no text generation model: it lacks cls.predictions" in message


TEXT = {**BERT, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 400}
VISION = {"hidden_size": 32, "num_hidden_layers": 1, "intermediate_size": 32, "image_size": 28, "patch_size": 14}
MIXED = {
    "Qwen3_5": (
        {
            **{"num_hidden_layers": 4, "linear_num_value_heads": 2, "linear_num_key_heads": 2},
            **{"linear_key_head_dim": 16, "linear_value_head_dim": 16},
        },
        {"depth": 1, "num_heads": 2, "out_hidden_size": 32},
    ),
    "Mllama": (
        {"num_hidden_layers": 2, "cross_attention_layers": [1], "pad_token_id": 2},
        {"num_global_layers": 1, "attention_heads": 2, "vision_output_dim": 64, "intermediate_layers_indices": [0]},
    ),
}


@pytest.mark.parametrize("family", sorted(MIXED))
def test_the_text_part_of_a_model_that_takes_more_is_served(tmp_path: Path, family: str) -> None:
    kind = f"{family}ForConditionalGeneration"
    text, vision = MIXED[family]
    config = getattr(transformers, f"{family}Config")(text_config={**TEXT, **text}, vision_config={**VISION, **vision})
    torch.manual_seed(8)
    whole = getattr(transformers, kind)(config).eval()
    whole.save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    loaded = load_folder(tmp_path)
    ids = torch.tensor([[5, 9, 30]])
    with torch.inference_mode():
        assert torch.allclose(loaded.model(input_ids=ids).logits, whole(input_ids=ids).logits, atol=1e-5)
    assert type(loaded.model).__name__ == f"{family}ForCausalLM"
    assert loaded.notice == f"config.json says {kind}: only the part of it that continues a text is loaded"


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
