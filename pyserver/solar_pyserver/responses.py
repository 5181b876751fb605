"""OpenAI's objects: chat completions, text completions, their chunks, and classifications."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .json_lines import json_line
from .sampling import TokenLogprob
from .tokenizing import TextTokenizer

Object = dict[str, Any]
# What a choice without log-probabilities has in their place.
NO_LOGPROBS = "null"


def usage(prompt_tokens: int, completion_tokens: int) -> Object:
    """OpenAI's usage object, in tokens."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


@dataclass
class GenerationResponse:
    """The answer to one request for generation, in the shape of chat or of completions. All parts are JSON text."""

    chat: bool
    model: str
    tokenizer: TextTokenizer
    id: str = ""
    created: int = field(default_factory=lambda: int(time.time()))

    def __post_init__(self) -> None:
        self.id = f"{'chatcmpl' if self.chat else 'cmpl'}-{uuid.uuid4().hex}"
        self._offsets: dict[int, int] = {}
        head = {"id": self.id, "object": self._object(chunk=True), "created": self.created, "model": self.model}
        self._head = json_line(head)[:-1]

    def _object(self, chunk: bool) -> str:
        if not self.chat:
            return "text_completion"
        return "chat.completion.chunk" if chunk else "chat.completion"

    def full(self, choices: Iterable[str], tokens: Object) -> bytes:
        """The whole answer. `choices` are what `choice` gives, `tokens` what `usage` gives."""
        head = {"id": self.id, "object": self._object(chunk=False), "created": self.created, "model": self.model}
        body = f'{json_line(head)[:-1]}, "choices": {_listed(choices)}, "usage": {json_line(tokens)}}}'
        return body.encode("utf-8", "replace")

    def choice(self, index: int, text: str, reason: str, logprobs: str) -> str:
        """One choice of a whole answer, as JSON. `logprobs` is what `logprobs` gives."""
        content: Object = (
            {"message": {"role": "assistant", "content": text, "refusal": None}} if self.chat else {"text": text}
        )
        return _with_logprobs({"index": index, **content, "finish_reason": reason}, logprobs)

    def opening(self, index: int) -> bytes:
        """The first chunk of a choice of chat: its role."""
        body = {"index": index, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
        return self._chunk(_with_logprobs(body, NO_LOGPROBS))

    def piece(self, index: int, text: str, logprobs: str) -> bytes:
        """A chunk with new text. `logprobs` is what `logprobs` gives."""
        body: Object = {"delta": {"content": text}} if self.chat else {"text": text}
        return self._chunk(_with_logprobs({"index": index, **body, "finish_reason": None}, logprobs))

    def ending(self, index: int, reason: str) -> bytes:
        """The last chunk of a choice. `reason` is `stop` or `length`."""
        body: Object = {"delta": {}} if self.chat else {"text": ""}
        return self._chunk(_with_logprobs({"index": index, **body, "finish_reason": reason}, NO_LOGPROBS))

    def usage_chunk(self, tokens: Object) -> bytes:
        """The chunk without choices that ends a stream. `tokens` is what `usage` gives."""
        return self._chunk("", f', "usage": {json_line(tokens)}')

    def _chunk(self, choice: str, tail: str = "") -> bytes:
        return f'data: {self._head}, "choices": [{choice}]{tail}}}\n\n'.encode("utf-8", "replace")

    def logprobs(self, index: int, tokens: Sequence[TokenLogprob]) -> str:
        """The log-probabilities of a piece as JSON, in the form that its endpoint has for them.

        Decodes every candidate, which takes about 10 microseconds each: not for the event loop. Each token becomes
        text by itself, for the JSON encoder lets no other thread run before its end.
        """
        return self._chat_logprobs(tokens) if self.chat else self._text_logprobs(index, tokens)

    def _chat_logprobs(self, tokens: Sequence[TokenLogprob]) -> str:
        def entry(logprob: float, text: str, data: list[int]) -> Object:
            return {"token": text, "logprob": _number(logprob), "bytes": data}

        def candidate(item: TokenLogprob, token: int, logprob: float) -> Object:
            text = self.tokenizer.text_behind(item.before, item.given, token)
            return entry(logprob, text, self.tokenizer.token_bytes(token, text))

        content = (
            json_line(
                {
                    **entry(item.logprob, self._text(item), self._bytes(item)),
                    "top_logprobs": [candidate(item, *pair) for pair in item.top],
                }
            )
            for item in tokens
        )
        return f'{{"content": {_listed(content)}, "refusal": null}}'

    def _text_logprobs(self, index: int, tokens: Sequence[TokenLogprob]) -> str:
        texts = [self._text(item) for item in tokens]
        offsets = []
        for text in texts:
            offsets.append(self._offsets.get(index, 0))
            self._offsets[index] = offsets[-1] + len(text)
        columns = {
            "tokens": json_line(texts),
            "token_logprobs": json_line([_number(item.logprob) for item in tokens]),
            "top_logprobs": _listed(json_line(self._top(item)) for item in tokens),
            "text_offset": json_line(offsets),
        }
        return "{" + ", ".join(f'"{name}": {values}' for name, values in columns.items()) + "}"

    def _top(self, item: TokenLogprob) -> dict[str, float]:
        """Log-probabilities by the text that each token would add. Tokens with the same text are told apart by id."""
        chosen = self._text(item)
        keys: dict[str, float] = {}
        for token, logprob in item.top:
            text = chosen if token == item.token else self.tokenizer.text_behind(item.before, item.given, token)
            if "\ufffd" in text or not text:
                text = self.tokenizer.token_key(token)
            if text in keys or (text == chosen and token != item.token):
                text = f"token_id:{token}"
            keys[text] = _number(logprob)
        return keys

    def _text(self, item: TokenLogprob) -> str:
        return self.tokenizer.token_text(item.token) if item.text is None else item.text

    def _bytes(self, item: TokenLogprob) -> list[int]:
        """The token's bytes. Special tokens are no part of the answer and have none."""
        special = item.token in self.tokenizer.special_tokens
        return [] if special else self.tokenizer.token_bytes(item.token, self._text(item))


def _listed(items: Iterable[str]) -> str:
    return f"[{', '.join(items)}]"


def _with_logprobs(choice: Object, logprobs: str) -> str:
    return f'{json_line(choice)[:-1]}, "logprobs": {logprobs}}}'


def _number(logprob: float) -> float:
    """JSON has no infinity; OpenAI writes -9999 for what cannot happen."""
    return max(logprob, -9999.0)


def classification_response(
    model: str, labels: Sequence[str], scores: Sequence[Sequence[float]], tokens: int, all_scores: bool
) -> bytes:
    """The answer of /v1/classify. `scores` is texts x classes, in the order of `labels`."""
    head = {"id": f"clf-{uuid.uuid4().hex}", "object": "classification", "model": model}
    choices = (json_line(_classified(index, labels, values, all_scores)) for index, values in enumerate(scores))
    total = json_line({"prompt_tokens": tokens, "total_tokens": tokens})
    return f'{json_line(head)[:-1]}, "choices": {_listed(choices)}, "usage": {total}}}'.encode("utf-8", "replace")


def _classified(index: int, labels: Sequence[str], values: Sequence[float], all_scores: bool) -> Object:
    best = max(range(len(values)), key=lambda at: values[at])
    choice: Object = {"index": index, "label": labels[best], "score": values[best]}
    if all_scores:
        choice["all_scores"] = [{"label": label, "score": score} for label, score in zip(labels, values, strict=True)]
    return choice
