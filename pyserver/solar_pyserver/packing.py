"""Which texts share a forward pass: sorted by length, cut by rows x longest, with little padding."""

from __future__ import annotations

from collections.abc import Sequence

# A pass by itself costs about as much as this many cells: less padding than that is cheaper than another pass.
FREE_PADDING = 64
PADDING_SHARE = 0.15


def pack(lengths: Sequence[int], max_cells: int, max_rows: int) -> list[list[int]]:
    """Groups of positions in `lengths` (tokens), shortest texts first. Padding stays within its cap in each group."""
    groups: list[list[int]] = []
    group: list[int] = []
    tokens = 0
    for at in sorted(range(len(lengths)), key=lambda at: lengths[at]):
        length = lengths[at]
        cells = (len(group) + 1) * length
        padding = cells - tokens - length
        too_padded = padding > FREE_PADDING + PADDING_SHARE * (tokens + length)
        if group and (len(group) >= max_rows or cells > max_cells or too_padded):
            groups.append(group)
            group, tokens = [], 0
        group.append(at)
        tokens += length
    if group:
        groups.append(group)
    return groups


def first_served(groups: Sequence[Sequence[int]]) -> Sequence[int]:
    """The group with the text that has waited longest (position 0): no text waits for ever."""
    return next(group for group in groups if 0 in group)
