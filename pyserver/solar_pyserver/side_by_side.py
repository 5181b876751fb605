"""Scores the parts of a batch side by side, each on a thread of its own.

A small model gains little from a second thread inside its operations: each of them is over before two threads have
met. Two passes at once, over half of the texts each, use two cores nearly twice as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait

import torch

# A pass over fewer tokens than this is mostly Python, which runs on one core at a time.
MIN_PART_TOKENS = 128

Encoding = dict[str, list[int]]
Scores = list[list[float]]


def cut(lengths: Sequence[int], parts: int) -> list[list[int]]:
    """Positions in `lengths` (tokens), longest first, in at most `parts` groups of about the same number of tokens."""
    order = sorted(range(len(lengths)), key=lambda at: -lengths[at])
    total = sum(lengths)
    parts = max(1, min(parts, len(lengths), total // MIN_PART_TOKENS))
    groups: list[list[int]] = [[]]
    tokens = 0
    for at in order:
        if groups[-1] and len(groups) < parts and tokens + lengths[at] / 2 > total * len(groups) / parts:
            groups.append([])
        groups[-1].append(at)
        tokens += lengths[at]
    return groups


class SideBySide:
    """As `score`, with parts of the batch at the same time. Gives texts x classes, in the order of the batch."""

    def __init__(self, score: Callable[[Sequence[Encoding]], Scores], threads: int) -> None:
        self._score = score
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads - 1, thread_name_prefix="scorer")

    def __call__(self, batch: Sequence[Encoding]) -> Scores:
        groups = cut([len(encoding["input_ids"]) for encoding in batch], self._threads)
        if len(groups) == 1:
            return self._score(batch)
        own, *others = ([batch[at] for at in group] for group in groups)
        begun = [self._pool.submit(self._infer, part) for part in others]
        try:
            parts = [self._score(own)]
        finally:
            # The next step must not begin while another thread still uses the model.
            wait(begun)
        parts.extend(part.result() for part in begun)
        scores: Scores = [[] for _ in batch]
        for group, part in zip(groups, parts, strict=True):
            for at, values in zip(group, part, strict=True):
                scores[at] = values
        return scores

    def _infer(self, part: Sequence[Encoding]) -> Scores:
        # The mode belongs to a thread, not to the process.
        with torch.inference_mode():
            return self._score(part)
