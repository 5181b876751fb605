"""The choice of the next token: penalties, filters and random numbers of each row's own."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# Filters look at this many of the likeliest tokens first. They seldom need the whole vocabulary sorted.
CANDIDATES = 1024


@dataclass(frozen=True)
class SamplingParams:
    """How one request wants its tokens chosen.

    `top_k` 0 is off, `temperature` 0 is greedy, and token ids in `suppressed` are never chosen.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int | None = None
    suppressed: tuple[int, ...] = ()

    @property
    def greedy(self) -> bool:
        """Whether the likeliest token is always chosen."""
        return self.temperature < 1e-5 or self.top_k == 1

    @property
    def filtered(self) -> bool:
        """Whether unlikely tokens are left out."""
        return self.top_p < 1.0 or self.top_k > 0 or self.min_p > 0.0

    @property
    def penalised(self) -> bool:
        """Whether logits are changed before the choice."""
        return (
            self.repetition_penalty != 1.0
            or self.presence_penalty != 0.0
            or self.frequency_penalty != 0.0
            or bool(self.suppressed)
        )


class RowSampler:
    """The sampling state of one row: its random numbers and the tokens it has seen."""

    def __init__(self, params: SamplingParams, prompt: Sequence[int], index: int = 0) -> None:
        self.params = params
        # Choices of one request differ, and the same seed gives the same choices again. Seed and index make a text:
        # of numbers Random takes the absolute value, and -1 and 1 would be the same.
        self._random = random.Random(None if params.seed is None else f"{params.seed}:{index}")
        self._drawn: float | None = None
        self._prompt = prompt
        self._seen: Tensor | None = None
        self._counts: Tensor | None = None

    def uniform(self) -> float:
        """A number in [0, 1), the same until a token is recorded: a choice that ran out of memory is made again."""
        if self._drawn is None:
            self._drawn = self._random.random()
        return self._drawn

    def record(self, token: int) -> None:
        """The token was chosen: it counts for penalties, and the next draw is a new one."""
        self._drawn = None
        if self._counts is not None and self._seen is not None:
            self._counts[token] += 1
            self._seen[token] = True

    def penalise(self, logits: Tensor) -> Tensor:
        """`logits` of one row with penalties. Repetition counts the prompt too, as in transformers.

        Presence and frequency count the answer alone, as OpenAI's.
        """
        if self._seen is None or self._counts is None:
            self._counts = torch.zeros_like(logits)
            self._seen = torch.zeros_like(logits, dtype=torch.bool)
            self._seen[torch.tensor(list(self._prompt), device=logits.device)] = True
        params = self.params
        scaled = torch.where(logits < 0, logits * params.repetition_penalty, logits / params.repetition_penalty)
        penalised = torch.where(self._seen, scaled, logits)
        presence = params.presence_penalty * (self._counts > 0)
        penalised = penalised - presence - params.frequency_penalty * self._counts
        if params.suppressed:
            known = [token for token in params.suppressed if token < penalised.shape[-1]]
            penalised[known] = float("-inf")
        return penalised


def choose(logits: Tensor, samplers: Sequence[RowSampler]) -> list[int | None]:
    """One token for each row of `logits` (rows x vocabulary, float32); None where the logits are not numbers."""
    own = None
    if any(sampler.params.penalised for sampler in samplers):
        # Kept to see whether the model's own numbers are finite.
        own = logits.amax(dim=-1)
        logits = torch.stack(
            [
                sampler.penalise(row) if sampler.params.penalised else row
                for row, sampler in zip(logits, samplers, strict=True)
            ]
        )
    best, tokens = logits.max(dim=-1)
    sampled = [at for at, sampler in enumerate(samplers) if not sampler.params.greedy]
    if sampled:
        params = [samplers[at].params for at in sampled]
        uniforms = [samplers[at].uniform() for at in sampled]
        rows = logits if len(sampled) == len(samplers) else logits[sampled]
        tokens[sampled] = _sample(rows, params, uniforms)
    chosen: list[int | None] = [
        token if math.isfinite(value) else None
        for token, value in zip(tokens.tolist(), (best if own is None else own).tolist(), strict=True)
    ]
    for sampler, token in zip(samplers, chosen, strict=True):
        if token is not None:
            sampler.record(token)
    return chosen


def _sample(logits: Tensor, params: Sequence[SamplingParams], uniforms: Sequence[float]) -> Tensor:
    tokens = torch.empty(len(params), dtype=torch.long, device=logits.device)
    temperature = _column([p.temperature for p in params], logits)
    scaled = logits / temperature
    draw = _column(list(uniforms), logits)
    for wanted in (False, True):
        rows = [at for at, p in enumerate(params) if p.filtered is wanted]
        if rows and wanted:
            tokens[rows] = _sample_filtered(scaled[rows], [params[at] for at in rows], draw[rows])
        elif rows:
            tokens[rows] = _invert(torch.softmax(scaled[rows], dim=-1), draw[rows])
    return tokens


def _sample_filtered(scaled: Tensor, params: Sequence[SamplingParams], draw: Tensor) -> Tensor:
    vocabulary = scaled.shape[-1]
    size = min(vocabulary, max(CANDIDATES, *(p.top_k for p in params)))
    while True:
        values, ids = torch.topk(scaled, size, dim=-1)
        probabilities = torch.exp(values - torch.logsumexp(scaled, dim=-1, keepdim=True))
        if size == vocabulary or bool(_covered(probabilities, params).all()):
            break
        size = vocabulary
    kept = filter_sorted(probabilities, params)
    rank = _invert(kept, draw)
    return ids.gather(-1, rank[:, None])[:, 0]


def _covered(probabilities: Tensor, params: Sequence[SamplingParams]) -> Tensor:
    """Whether the candidates hold every token that the filters could keep."""
    top_k = _column([float(p.top_k or 2**30) for p in params], probabilities)[:, 0]
    top_p = _column([p.top_p for p in params], probabilities)[:, 0]
    min_p = _column([p.min_p for p in params], probabilities)[:, 0]
    enough = (top_p < 1.0) & (probabilities.sum(-1) >= top_p)
    below = (min_p > 0.0) & (probabilities[:, -1] < min_p * probabilities[:, 0])
    return enough | below | (top_k <= probabilities.shape[-1])


def filter_sorted(probabilities: Tensor, params: Sequence[SamplingParams]) -> Tensor:
    """Sets to zero what `top_k`, then `top_p`, then `min_p` leave out. Columns go from the likeliest down."""
    rank = torch.arange(probabilities.shape[-1], device=probabilities.device)
    top_k = _column([float(p.top_k or 2**30) for p in params], probabilities)
    kept = torch.where(rank < top_k, probabilities, 0.0)
    if any(p.top_k for p in params):
        # top_p is a share of what top_k left, as in transformers and llama.cpp
        limited = top_k < 2**30
        kept = torch.where(limited, kept / kept.sum(-1, keepdim=True), kept)
    top_p = _column([p.top_p for p in params], probabilities)
    before = kept.cumsum(-1) - kept
    kept = torch.where((before < top_p) | (top_p >= 1.0) | (rank == 0), kept, 0.0)
    min_p = _column([p.min_p for p in params], probabilities)
    return torch.where(kept >= min_p * kept[:, :1], kept, 0.0)


def _invert(probabilities: Tensor, draw: Tensor) -> Tensor:
    """The inverse of the distribution function at `draw` in [0, 1), rows x 1: one number decides for each row."""
    cumulative = probabilities.cumsum(-1)
    target = draw * cumulative[:, -1:]
    position = torch.searchsorted(cumulative, target, right=True)[:, 0]
    # Rounding may put the target behind the end. The last token that can be chosen is taken then.
    rank = torch.arange(probabilities.shape[-1], device=probabilities.device)
    last = torch.where(probabilities > 0, rank, 0).amax(-1)
    return torch.minimum(position, last)


def _column(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=torch.float32, device=like.device)[:, None]


@dataclass(frozen=True)
class TokenLogprob:
    """Natural logarithms of the model's own probabilities, before temperature, penalties and filters.

    `text` is what the token adds to the answer: nothing for a part of a character, which comes with its last token.
    `before` are the tokens that it is decoded behind, of whose text `given` characters are in the answer already.
    """

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...]
    text: str | None = None
    before: tuple[int, ...] = ()
    given: int = 0


def logprobs_of(logits: Tensor, token: int, top: int) -> TokenLogprob:
    """`logits` is one row as the model gave it: vocabulary. `top` is the number of candidates."""
    logs = torch.log_softmax(logits.float(), dim=-1)
    values, ids = torch.topk(logs, min(top, logs.shape[-1])) if top else (logs[:0], logs[:0])
    pairs = tuple(zip((int(token_id) for token_id in ids.tolist()), values.tolist(), strict=True))
    return TokenLogprob(token, float(logs[token]), pairs)
