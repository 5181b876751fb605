"""The check that a checkpoint is meant for the task, by the `architectures` of its config.json.

Heads of different kinds often have the same names and sizes, so that the weights alone do not tell them apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .errors import ExitCode, StartupError

# For each model type the class, or classes, that transformers loads for a task.
Classes = Mapping[str, str | tuple[str, ...]]

CAUSAL_ENDS = ("ForCausalLM", "LMHeadModel", "ModelWithLMHead", "DoubleHeadsModel")
CLASSIFIER_END = "ForSequenceClassification"

# What the end of a class's name says that its head does.
OTHER_KINDS = {
    "ForTokenClassification": "labels each token",
    "ForQuestionAnswering": "marks the answer in a text",
    "ForMultipleChoice": "picks one of several texts",
    "ForNextSentencePrediction": "tells whether a sentence follows another",
    "ForMaskedLM": "fills in masked words",
    "ForPreTraining": "is for pretraining",
    "ForSeq2SeqLM": "turns one text into another",
    "EncoderModel": "is an encoder for embeddings",
    "DoubleHeadsModel": "continues a text",
    "ModelWithLMHead": "continues a text",
    "LMHeadModel": "continues a text",
    "ForCausalLM": "continues a text",
    "ForSequenceClassification": "classifies whole texts",
    "Model": "has no head, as a model for embeddings",
}


def require_kind(config: Any, task: str, name: str, classes: Classes, embeds: Callable[[], bool]) -> str:
    """What the log should say of a checkpoint that is of another kind and serves all the same; mostly nothing.

    Raises `StartupError` for one that cannot be meant for the task. `embeds` tells whether its files say that it is for
    embeddings; it is asked only where that counts. A model of its own code says itself what it is for.
    """
    auto = "AutoModelForCausalLM" if task == "causal" else "AutoModelForSequenceClassification"
    if auto in (getattr(config, "auto_map", None) or {}):
        return ""
    problem = kind_problem(config, task, classes, embeds)
    if problem:
        backend = "text generation" if task == "causal" else "classification"
        raise StartupError(ExitCode.MODEL, f"cannot load model {name}: it is no {backend} model: {problem}")
    said = _said(config)
    if task == "causal" and said.endswith("ForConditionalGeneration") and said not in _names(classes):
        return f"config.json says {said}: only the part of it that continues a text is loaded"
    if task == "causal" and _is_headless(said):
        return f"config.json says {said}, which has no head: its embedding serves as one, as tie_word_embeddings says"
    return ""


def kind_problem(config: Any, task: str, classes: Classes, embeds: Callable[[], bool] = lambda: False) -> str:
    """Why the checkpoint cannot be meant for the task; empty where it can, or where its names do not tell."""
    said = _said(config)
    architectures = getattr(config, "architectures", None) or []
    ends = CAUSAL_ENDS if task == "causal" else (CLASSIFIER_END,)
    if task == "causal" and _looks_ahead(config):
        return f"config.json says {said or config.model_type}, whose tokens see the later ones too, as for embeddings"
    if any(name in _names(classes) or name.endswith(ends) for name in architectures):
        return ""
    loads = config.model_type in classes
    encodes_first = bool(getattr(config, "is_encoder_decoder", False))
    if task == "causal" and loads and not encodes_first:
        # The loading finds out whether the checkpoint has all that the text part, or the tied head, needs.
        tied = bool(getattr(config.get_text_config(), "tie_word_embeddings", False))
        if said.endswith("ForConditionalGeneration") or (_is_headless(said) and tied and not embeds()):
            return ""
    does = _does(said, encodes_first)
    if does:
        return f"config.json says {said}, which {does}{_other_backend(said, task)}"
    return "" if loads else f"transformers has none of the model type {config.model_type}"


def _said(config: Any) -> str:
    return str((getattr(config, "architectures", None) or [""])[0])


def _names(classes: Classes) -> set[str]:
    return {name for entry in classes.values() for name in ((entry,) if isinstance(entry, str) else entry)}


def _is_headless(said: str) -> bool:
    return said.endswith("Model") and not said.endswith(("EncoderModel", *CAUSAL_ENDS))


def _looks_ahead(config: Any) -> bool:
    text = config.get_text_config()
    both_ways = getattr(text, "use_bidirectional_attention", None)
    return both_ways is True or both_ways == "all" or getattr(text, "is_causal", None) is False


def _does(said: str, encodes_first: bool) -> str:
    """What a class of this name does, in words; empty where the name does not tell."""
    if said.endswith("ForConditionalGeneration"):
        return "turns one text into another" if encodes_first else "takes more than text"
    known = next((words for end, words in OTHER_KINDS.items() if said.endswith(end)), "")
    return known or (f"is for {said.rpartition('For')[2]}" if "For" in said else "")


def _other_backend(said: str, task: str) -> str:
    if task == "causal" and said.endswith(CLASSIFIER_END):
        return "; serve it as classification"
    return "; serve it as causal" if task != "causal" and said.endswith(CAUSAL_ENDS) else ""


def require_language(config: Any, name: str) -> None:
    """Raises `StartupError` for a model with adapters by language (X-MOD) that does not say which one to use.

    A request cannot say it, and every pass would fail.
    """
    languages = [str(language) for language in getattr(config, "languages", None) or ()]
    if not languages or not hasattr(config, "default_language") or config.default_language in languages:
        return
    has = f"has {config.default_language}" if config.default_language else "has none"
    raise StartupError(
        ExitCode.MODEL,
        f"cannot load model {name}: default_language in config.json must be one of its languages, and it {has}: "
        f"{', '.join(languages)}",
    )


def require_label_names(config_file: Mapping[str, Any], name: str) -> None:
    """Raises `StartupError` for an id2label in config.json that is not names by number."""
    labels = config_file.get("id2label")
    if labels is None:
        return
    if not isinstance(labels, Mapping) or not all(str(number).strip().isdecimal() for number in labels):
        raise StartupError(
            ExitCode.MODEL,
            f"cannot load model {name}: id2label in config.json must be an object of label names by number, "
            'such as {"0": "negative", "1": "positive"}',
        )
