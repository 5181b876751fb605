"""The check that a model has its tokenizer. transformers 5 makes an empty one where the files are missing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from .errors import ExitCode, StartupError, one_line

# Each of these is enough for some kind of tokenizer.
WHOLE = ("tokenizer.json", "tokenizer.model", "tekken.json", "vocab.txt", "spiece.model", "spm.model")
WHOLE_ENDS = (".model", ".tiktoken", ".vocab")
PAIR = ("vocab.json", "merges.txt")


def load_tokenizer(model: str, config: Any, trust_remote_code: bool) -> Any:
    """Raises `StartupError` that names the missing files, or says why the tokenizer cannot be read."""
    from transformers import AutoTokenizer

    files = os.listdir(model) if os.path.isdir(model) else None
    try:
        tokenizer = AutoTokenizer.from_pretrained(model, config=config, trust_remote_code=trust_remote_code)
    except ImportError:
        raise
    except Exception as error:
        problem = "" if files is None else missing_files(files)
        raise _refused(model, problem or f"its tokenizer cannot be read: {one_line(error)}") from error
    if is_empty(tokenizer):
        names = getattr(tokenizer, "vocab_files_names", {})
        problem = "" if files is None else missing_files(files)
        raise _refused(model, problem or f"it has no tokenizer: {_wanted(names)}")
    return tokenizer


def _refused(model: str, problem: str) -> StartupError:
    return StartupError(ExitCode.MODEL, f"cannot load model {model}: {problem}")


def _wanted(names: Mapping[str, str]) -> str:
    """The files that a tokenizer of this class is made of."""
    parts = " and ".join(name for kind, name in names.items() if kind != "tokenizer_file")
    return " or ".join(filter(None, ["tokenizer.json", parts])) + " is missing or holds no words"


def missing_files(files: Iterable[str]) -> str:
    """What a folder with these files lacks for a tokenizer. Empty where it has enough for some kind."""
    there = set(files)
    if there.intersection(WHOLE) or any(name.endswith(WHOLE_ENDS) for name in there):
        return ""
    absent = [name for name in PAIR if name not in there]
    if not absent:
        return ""
    if len(absent) == 1:
        return f"its tokenizer lacks {absent[0]}; the folder has {'merges.txt' if absent[0] == PAIR[0] else PAIR[0]}"
    wanted = "tokenizer.json, tokenizer.model, vocab.txt, or vocab.json with merges.txt"
    return f"the folder has no tokenizer files ({wanted})"


def is_empty(tokenizer: Any) -> bool:
    """Whether it knows no word, so that all texts of a length are alike. Special tokens are no words.

    A tokenizer that is made of no files needs none: it takes a text's characters or bytes as they are.
    """
    if not getattr(tokenizer, "vocab_files_names", None):
        return False
    try:
        words = tokenizer.get_vocab().keys() - {*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()}
    except NotImplementedError:
        # A tokenizer of the model's own code need not list its words.
        return False
    return not any(letter.isalnum() for word in words for letter in str(word))
