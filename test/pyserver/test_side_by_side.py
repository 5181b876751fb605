"""Batches that are scored in parts at the same time."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from solar_pyserver.side_by_side import MIN_PART_TOKENS, SideBySide, cut

Encoding = dict[str, list[int]]


def texts(*lengths: int) -> list[Encoding]:
    return [{"input_ids": [at] * length} for at, length in enumerate(lengths)]


def test_each_text_is_in_one_part_and_the_parts_are_about_equal() -> None:
    lengths = [5, 200, 7, 180, 90, 100, 3, 210]
    groups = cut(lengths, 3)
    assert sorted(at for group in groups for at in group) == list(range(8))
    sizes = [sum(lengths[at] for at in group) for group in groups]
    assert len(groups) == 3
    assert max(sizes) - min(sizes) <= max(lengths)


def test_what_is_small_stays_whole() -> None:
    assert cut([10, 10, 10], 2) == [[0, 1, 2]]
    assert len(cut([MIN_PART_TOKENS * 2], 2)) == 1
    assert len(cut([MIN_PART_TOKENS, MIN_PART_TOKENS], 2)) == 2


def test_parts_are_scored_at_the_same_time_and_put_back_in_order() -> None:
    together = threading.Barrier(2, timeout=30)

    def score(batch: Sequence[Encoding]) -> list[list[float]]:
        together.wait()
        return [[float(encoding["input_ids"][0])] for encoding in batch]

    assert SideBySide(score, 2)(texts(130, 150, 140, 160)) == [[0.0], [1.0], [2.0], [3.0]]


def test_an_error_of_any_part_is_the_batchs_and_comes_when_all_have_ended() -> None:
    for faulty in (0, 1):
        ended: list[int] = []

        def score(batch: Sequence[Encoding], faulty: int = faulty, ended: list[int] = ended) -> list[list[float]]:
            at = batch[0]["input_ids"][0]
            ended.append(at)
            if at == faulty:
                raise RuntimeError(f"text {at}")
            return [[0.0] for _ in batch]

        with pytest.raises(RuntimeError, match=f"text {faulty}"):
            SideBySide(score, 2)(texts(200, 200))
        assert sorted(ended) == [0, 1]
