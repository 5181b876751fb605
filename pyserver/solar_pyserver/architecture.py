"""Whether a checkpoint can be meant for a task, judged by the `architectures` of its config.json.

Heads of different kinds often have the same names and sizes, so that the weights alone do not tell them apart.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from .errors import ExitCode, StartupError

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


def require_kind(config: Any, task: str, name: str, known: Collection[str]) -> None:
    """Raises `StartupError` for a checkpoint of another kind. One that does not say what it is goes on.

    `known` are the classes that transformers loads for the task, some of which have names of their own.
    """
    auto = "AutoModelForCausalLM" if task == "causal" else "AutoModelForSequenceClassification"
    if auto in (getattr(config, "auto_map", None) or {}):
        return
    encodes_first = bool(getattr(config, "is_encoder_decoder", False))
    problem = kind_problem(getattr(config, "architectures", None) or [], task, encodes_first, known)
    if problem:
        raise StartupError(ExitCode.MODEL, f"cannot load model {name}: {problem}")


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


def kind_problem(architectures: Sequence[str], task: str, encodes_first: bool, known: Collection[str]) -> str:
    """Why none of these classes does the task; empty where one does, or where its name does not tell."""
    ends = CAUSAL_ENDS if task == "causal" else (CLASSIFIER_END,)
    if not architectures or any(name in known or name.endswith(ends) for name in architectures):
        return ""
    name = architectures[0]
    does = next((words for end, words in OTHER_KINDS.items() if name.endswith(end)), "")
    if name.endswith("ForConditionalGeneration"):
        does = "turns one text into another" if encodes_first else "takes more than text"
    if not does and "For" in name:
        does = f"is for {name.rpartition('For')[2]}"
    if not does:
        return ""
    backend = "text generation" if task == "causal" else "classification"
    # A classifier can be served by the other backend, and the other way round.
    other = ""
    if task == "causal" and name.endswith(CLASSIFIER_END):
        other = "; serve it as classification"
    elif task != "causal" and name.endswith(CAUSAL_ENDS):
        other = "; serve it as causal"
    return f"it is no {backend} model: config.json says {name}, which {does}{other}"
