"""A generation: the request, its rows, and the updates that a worker delivers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from .detokenizer import Detokenizer
from .errors import ApiError
from .events import Throttle
from .sampling import RowSampler, SamplingParams, TokenLogprob
from .stop_matcher import StopMatcher

NO_TOKENS: Mapping[int, str] = MappingProxyType({})


@dataclass(frozen=True)
class Piece:
    """New text of one choice, with the log-probabilities of its tokens."""

    index: int
    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True)
class Finished:
    """One choice is complete. `reason` is `stop` or `length`; `generated` counts all its tokens, the end token too."""

    index: int
    reason: str
    generated: int


# An error ends the whole request.
Update = Piece | Finished | ApiError


@dataclass(eq=False)
class GenerationRequest:
    """One HTTP request. `prompts` are token ids, and each gives `n` choices of `max_new_tokens` at most.

    `logprobs` is how many candidates are told for each token, None for no log-probabilities. `deliver` is called on the
    event loop. `cancelled` may be set from any thread.
    """

    prompts: Sequence[Sequence[int]]
    sampling: SamplingParams
    max_new_tokens: Sequence[int]
    deliver: Callable[[Update], None]
    kind: str = "completion"
    stop: tuple[str, ...] = ()
    n: int = 1
    logprobs: int | None = None
    stream: bool = False
    ignore_eos: bool = False
    continues_prompt: bool = False
    cancelled: bool = field(default=False, init=False)


class Row:
    """One choice while it is decoded: its prompt, which all choices share, and its answer.

    The first `cached` tokens have K/V stored. What costs time or memory is made by `start` in the worker's thread:
    a request for many rows costs the event loop nothing, and rows that wait hold nothing.
    """

    def __init__(
        self,
        request: GenerationRequest,
        index: int,
        decode: Callable[[list[int]], str],
        end_tokens: frozenset[int],
        special_tokens: Mapping[int, str] = NO_TOKENS,
    ) -> None:
        self.request = request
        self.index = index
        self.task = 0
        self.slot = -1
        self.prompt = request.prompts[index // request.n]
        self.prompt_tokens = len(self.prompt)
        self.answer: list[int] = []
        self.cached = 0
        self.finish_reason: str | None = None
        self.sampler: RowSampler
        self.throttle: Throttle
        self._detokenizer: Detokenizer
        self._matcher: StopMatcher
        self._decode = decode
        self._began = self._first_token = 0.0
        self._limit = request.max_new_tokens[index // request.n]
        self._end_tokens = frozenset() if request.ignore_eos else end_tokens
        self._special_tokens = special_tokens
        self._text: list[str] = []
        self._logprobs: list[TokenLogprob] = []
        # In characters of the answer: where each token of the logprobs begins, what is decoded, and what is shown.
        self._starts: list[int] = []
        self._decoded = self._shown = 0

    def start(self, task: int) -> None:
        """Makes what the row needs to run, in the worker's thread. `task` is its number in the reports."""
        self.task = task
        self._began = time.monotonic()
        request = self.request
        self.sampler = RowSampler(request.sampling, self.prompt, self.index)
        self.throttle = Throttle()
        self._detokenizer = Detokenizer(self._decode, self.prompt[-8:] if request.continues_prompt else ())
        self._matcher = StopMatcher(request.stop)

    @property
    def length(self) -> int:
        """Tokens of prompt and answer."""
        return self.prompt_tokens + len(self.answer)

    @property
    def generated(self) -> int:
        """Tokens of the answer."""
        return len(self.answer)

    def tokens(self, start: int, end: int) -> list[int]:
        """The token ids from `start` to `end` of prompt and answer together."""
        after = self.prompt_tokens
        return [*self.prompt[start:end], *self.answer[max(0, start - after) : max(0, end - after)]]

    @property
    def remaining(self) -> int:
        """Tokens that the answer may still have."""
        return self._limit - self.generated

    def accept(self, token: int, logprob: TokenLogprob | None) -> None:
        """Takes the next token. Sets `finish_reason` where it is the last."""
        if self.generated == 0:
            self._first_token = time.monotonic()
        self.answer.append(token)
        if logprob is not None:
            before, given = self._detokenizer.before
            self._logprobs.append(replace(logprob, text="", before=before, given=given))
            self._starts.append(self._decoded)
        special = self._special_tokens.get(token, "")
        if token in self._end_tokens:
            self._end("stop", special)
            return
        text, stopped = self._matcher.push(self._of_token(self._detokenizer.push(token)), special)
        self._show(text)
        if stopped:
            self._cut_logprobs()
            self.finish_reason = "stop"
        elif self.remaining <= 0:
            self._end("length")

    def _end(self, reason: str, special: str = "") -> None:
        text, stopped = self._matcher.push(self._of_token(self._detokenizer.flush()), special)
        self._show(text)
        if stopped:
            self._cut_logprobs()
            reason = "stop"
        else:
            self._show(self._matcher.flush())
        self.finish_reason = reason

    def _show(self, text: str) -> None:
        if text:
            self._text.append(text)
            self._shown += len(text)

    def _of_token(self, text: str) -> str:
        """Notes what text the last token has added to the answer."""
        self._decoded += len(text)
        if text and self._logprobs:
            last = self._logprobs[-1]
            self._logprobs[-1] = replace(last, text=(last.text or "") + text)
        return text

    def _cut_logprobs(self) -> None:
        """Takes away what belongs to the stop string. Of a token that begins before it, the part before it stays."""
        kept = [
            replace(logprob, text=(logprob.text or "")[: self._shown - start])
            for start, logprob in zip(self._starts, self._logprobs, strict=True)
            if start < self._shown
        ]
        self._logprobs, self._starts = kept, self._starts[: len(kept)]

    def _told_in_full(self) -> int:
        """The number of tokens whose whole text is shown."""
        ends = zip(self._starts, self._logprobs, strict=True)
        return sum(start < self._shown and start + len(item.text or "") <= self._shown for start, item in ends)

    def updates(self) -> list[Update]:
        """The updates to deliver now: pieces as they come for a stream, everything at the end otherwise."""
        told: list[Update] = []
        done = self.finish_reason is not None
        if (done or self.request.stream) and (self._text or (done and self._logprobs)):
            # A token whose text is held back, because it may begin a stop string, is held back too.
            count = len(self._starts) if done else self._told_in_full()
            told.append(Piece(self.index, "".join(self._text), tuple(self._logprobs[:count])))
            self._text, self._logprobs, self._starts = [], self._logprobs[count:], self._starts[count:]
        if self.finish_reason is not None:
            told.append(Finished(self.index, self.finish_reason, self.generated))
        return told

    def speed(self) -> float:
        """Tokens a second of decoding. Where there are more, the first token belongs to the prompt's time."""
        now = time.monotonic()
        if self.generated > 1:
            return (self.generated - 1) / max(now - self._first_token, 1e-6)
        return self.generated / max(now - self._began, 1e-6)
