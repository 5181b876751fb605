from __future__ import annotations

import random

from solar_pyserver.packing import FREE_PADDING, PADDING_SHARE, first_served, pack

LENGTHS = [random.Random(4).randint(3, 300) for _ in range(200)]


def test_every_text_is_in_one_group() -> None:
    groups = pack(LENGTHS, 4096, 32)
    assert sorted(at for group in groups for at in group) == list(range(len(LENGTHS)))


def test_groups_keep_to_rows_cells_and_padding() -> None:
    groups = pack(LENGTHS, 4096, 32)
    for group in groups:
        longest = max(LENGTHS[at] for at in group)
        tokens = sum(LENGTHS[at] for at in group)
        assert len(group) <= 32
        assert len(group) * longest <= 4096
        assert len(group) * longest - tokens <= FREE_PADDING + PADDING_SHARE * tokens
    assert len(groups) < len(LENGTHS) / 4


def test_a_text_longer_than_the_cells_goes_alone() -> None:
    assert pack([5000, 3], 4096, 32) == [[1], [0]]


def test_equal_short_texts_share_one_pass() -> None:
    assert pack([8] * 20, 4096, 32) == [list(range(20))]


def test_the_text_that_waited_longest_is_in_the_next_group() -> None:
    groups = pack([300, 5, 5, 5], 4096, 32)
    assert first_served(groups) == [0]
    assert pack([], 10, 10) == []
