"""The tokenizer: text to token ids, ids to text, the tokens that end an answer, and ids that the model lacks."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from .chat_template import ChatTemplate
from .errors import ApiError, ExitCode, StartupError

# What models call the parts of an encoding, and what the Rust tokenizer calls them.
RUST_FIELDS = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}


def rust_tokenizer(tokenizer: Any) -> Any | None:
    """The Rust tokenizer inside a fast one: the same tokens in a fifth of the time. None for a slow one.

    Truncation and padding that a tokenizer.json may bring are taken off, as transformers does at each call.
    """
    rust: Any = getattr(tokenizer, "_tokenizer", None)
    if not hasattr(rust, "encode_batch") or not hasattr(rust, "decode"):
        return None
    rust.no_truncation()
    rust.no_padding()
    return rust


def special_tokens(tokenizer: Any) -> dict[int, str]:
    """The names of the tokens that are no part of the text, by id."""
    rust = rust_tokenizer(tokenizer)
    if rust is not None:
        added = rust.get_added_tokens_decoder().items()
        return {int(token): str(entry.content) for token, entry in added if entry.special}
    return dict(zip(tokenizer.all_special_ids, map(str, tokenizer.all_special_tokens), strict=False))


class TextTokenizer:
    """Wraps a transformers tokenizer. One thread may decode while another encodes: no call changes its state."""

    def __init__(self, tokenizer: Any, end_tokens: Iterable[int]) -> None:
        self.raw = tokenizer
        self.end_tokens = frozenset(end_tokens)
        self.special_tokens = special_tokens(tokenizer)
        self._fast = rust_tokenizer(tokenizer)
        self._bytes = _byte_alphabet()
        self._template: ChatTemplate | None = None

    @property
    def has_chat_template(self) -> bool:
        """Whether the model can take messages."""
        return bool(getattr(self.raw, "chat_template", None))

    def decode(self, ids: list[int]) -> str:
        """The text of token ids, without special tokens."""
        if self._fast is not None:
            return str(self._fast.decode(ids, skip_special_tokens=True))
        return str(self.raw.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def encode(self, text: str) -> list[int]:
        """The token ids of a text, with one beginning-of-sequence token where the model has one."""
        ids = self._encode(text)
        # A prompt that spells out the beginning-of-sequence token would have it twice.
        start = self._added_start
        if start is None:
            return ids
        spelled = sum(1 for _ in itertools.takewhile(lambda token: token == start, ids))
        return ids[max(0, spelled - 1) :]

    def _encode(self, text: str) -> list[int]:
        if self._fast is None:
            return [int(token) for token in self.raw(text, add_special_tokens=True)["input_ids"]]
        # `encode` lets no other thread run before its end.
        ids: list[int] = self._fast.encode_batch([text], add_special_tokens=True)[0].ids
        return ids

    @cached_property
    def _added_start(self) -> int | None:
        """The beginning-of-sequence token, where the tokenizer puts it before each text. GPT-2's does not."""
        start = getattr(self.raw, "bos_token_id", None)
        return start if start in self._encode("")[:1] else None

    def encode_chat(self, messages: Sequence[dict[str, Any]], variables: dict[str, Any]) -> list[int]:
        """Raises the 400 for a model without a template, and for messages that the template refuses."""
        if not self.has_chat_template:
            raise ApiError(
                400,
                "This model has no chat template, so it cannot take messages; use /v1/completions",
                param="messages",
                code="no_chat_template",
            )
        if self._template is None:
            self._template = ChatTemplate(self.raw)
        return self._template.encode(messages, variables)

    def token_text(self, token: int) -> str:
        """The text of one token by itself. Special tokens have their name."""
        if self._fast is not None:
            return str(self._fast.decode([token], skip_special_tokens=False))
        return str(self.raw.decode([token], skip_special_tokens=False))

    def text_behind(self, before: Sequence[int], given: int, token: int) -> str:
        """What a token adds after the tokens `before`, of whose text `given` characters are known.

        Special tokens add their name.
        A SentencePiece token by itself has lost its space, so that `▁upon` and `upon` would look alike.
        """
        if token in self.special_tokens:
            return self.special_tokens[token]
        return self.decode([*before, token])[given:]

    def token_key(self, token: int) -> str:
        """A name for a token that is no text by itself, as OpenAI writes parts of characters."""
        if token in self.special_tokens:
            return self.special_tokens[token]
        return "bytes:" + "".join(f"\\x{value:02x}" for value in self.token_bytes(token, ""))

    def token_bytes(self, token: int, text: str) -> list[int]:
        """The bytes of a token that adds `text`. A token that is part of a character has its own bytes."""
        alone = self.token_text(token)
        if "\ufffd" in alone:
            name = str(self.raw.convert_ids_to_tokens(token))
            if match := re.fullmatch(r"<0x([0-9A-Fa-f]{2})>", name):
                return [int(match[1], 16)]
            if all(letter in self._bytes for letter in name):
                return [self._bytes[letter] for letter in name]
        whole = text and "\ufffd" not in text
        return list((text if whole else alone).encode("utf-8", "replace"))


def _byte_alphabet() -> dict[str, int]:
    """The byte of each letter that byte-level BPE writes, as in GPT-2's encoder."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [value for value in range(256) if value not in printable]
    alphabet = {chr(value): value for value in printable}
    alphabet.update({chr(256 + at): value for at, value in enumerate(others)})
    return alphabet


def embedded_tokens(model: Any) -> int | None:
    """The number of rows of the model's embedding. None where it has none (CANINE takes characters)."""
    try:
        return int(model.get_input_embeddings().weight.shape[0])
    except (AttributeError, NotImplementedError):
        return None


def require_embedded(ids: Sequence[int], vocabulary: int | None, where: str, tokenizer: Any) -> None:
    """Raises the 400 for an id outside the model's embedding, and names the token. `where` is the field."""
    if vocabulary is None or (ids and min(ids) >= 0 and max(ids) < vocabulary):
        return
    token = next((token for token in ids if not 0 <= token < vocabulary), None)
    if token is not None:
        name = _name(tokenizer, token)
        raise ApiError(
            400,
            f"{where} has the token id {token}{name}, outside the model's vocabulary of {vocabulary} tokens",
            param=where,
            code="invalid_token",
        )


def _name(tokenizer: Any, token: int) -> str:
    try:
        name = tokenizer.convert_ids_to_tokens(token)
    except Exception:
        return ""
    return f" ({name})" if name else ""


def require_known_tokens(tokenizer: Any, vocabulary: int | None, model: str) -> None:
    """Raises `StartupError` where a token that the tokenizer puts round each text is outside the model's embedding.

    A tokenizer with some words too many is common, and only a text that has one of them is refused.
    """
    try:
        require_embedded([int(token) for token in tokenizer("")["input_ids"]], vocabulary, "every text", tokenizer)
    except ApiError as error:
        raise StartupError(ExitCode.MODEL, f"cannot load model {model}: its tokenizer does not fit: {error}") from error


class ClassifierTokenizer:
    """Encodes texts for a classifier. Only one thread may use it: truncation is a state of the tokenizer."""

    def __init__(self, tokenizer: Any, context: int, vocabulary: int | None = None) -> None:
        self._raw = tokenizer
        self._context = context
        self._vocabulary = vocabulary
        self._rust = rust_tokenizer(tokenizer)
        self._names = [name for name in tokenizer.model_input_names if name in RUST_FIELDS]

    def encode(self, texts: Sequence[str], truncate: bool) -> list[dict[str, list[int]]]:
        """The model's inputs for each text, not padded. They are cut to the context only with `truncate`.

        Raises the 400 for a token that the model does not have: on CUDA it would end the process.
        """
        encodings = self._encode(texts, truncate)
        for at, encoding in enumerate(encodings):
            require_embedded(encoding["input_ids"], self._vocabulary, f"input[{at}]", self._raw)
        return encodings

    def _encode(self, texts: Sequence[str], truncate: bool) -> list[dict[str, list[int]]]:
        if truncate or self._rust is None:
            limit: dict[str, Any] = {"truncation": True, "max_length": self._context} if truncate else {}
            batch = self._raw(list(texts), **limit)
            if self._rust is not None:
                self._rust.no_truncation()
            return [{name: values[at] for name, values in batch.items()} for at in range(len(texts))]
        encodings = self._rust.encode_batch(list(texts))
        return [{name: getattr(item, RUST_FIELDS[name]) for name in self._names} for item in encodings]
