"""The K/V of all rows in one place: a row is written where it stands and read without a copy.

transformers' own DynamicCache makes a new tensor at every step, and joining rows to it means padding on the left
and copying all of it. Here row `i` lies at [i, :, 0:length] of one buffer for each layer. A row joins by being
prefilled in its place, and leaves by the last row taking that place; a mask hides what lies behind a row's end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

COLUMN_BLOCK = 64


@dataclass(frozen=True)
class LayerShape:
    """What one layer stores for a token."""

    heads: int
    key_size: int
    value_size: int
    dtype: torch.dtype
    device: torch.device

    @property
    def bytes_per_token(self) -> int:
        """Bytes for one token of one row."""
        return self.heads * (self.key_size + self.value_size) * self.dtype.itemsize


def plain_shapes(cache: object) -> list[LayerShape] | None:
    """The shapes of a cache that a forward pass has filled. None where a layer is not a plain DynamicLayer."""
    layers = getattr(cache, "layers", None)
    if not isinstance(cache, DynamicCache) or not layers or any(type(layer) is not DynamicLayer for layer in layers):
        return None
    shapes = []
    for layer in layers:
        keys, values = layer.keys, layer.values
        if keys is None or keys.ndim != 4 or values.ndim != 4:
            return None
        shapes.append(LayerShape(keys.shape[1], keys.shape[3], values.shape[3], keys.dtype, keys.device))
    return shapes


@dataclass
class View:
    """The part of the pool that one forward pass reads and writes.

    Prefill: row `first`, columns `start` to `end`. Decoding: rows 0 to `rows`, each at its own column of `positions`.
    """

    first: int = 0
    rows: int = 1
    start: int = 0
    end: int = 0
    positions: Tensor | None = None
    row_index: Tensor | None = None


class PoolLayer(DynamicLayer):
    """One layer's keys and values: rows x heads x columns x size. The `view` says which part a pass uses."""

    keys: Tensor
    values: Tensor

    def __init__(self, shape: LayerShape, view: View) -> None:
        super().__init__()
        self.keys = self.values = torch.empty(0, 0, 0, 0)
        self.shape = shape
        self.view = view
        self.is_initialized = True
        self.dtype, self.device = shape.dtype, shape.device
        self.resize(0, 0)

    def resize(self, rows: int, columns: int) -> None:
        """Keeps what fits. New cells are zero: a masked cell counts as 0 x its content, and 0 x NaN is NaN."""
        shape = self.shape
        # Both are made before either is kept: running out of memory between them changes nothing.
        keys = torch.zeros(rows, shape.heads, columns, shape.key_size, dtype=shape.dtype, device=shape.device)
        values = torch.zeros(rows, shape.heads, columns, shape.value_size, dtype=shape.dtype, device=shape.device)
        if rows and self.keys.shape[0]:
            _copy_corner(self.keys, keys)
            _copy_corner(self.values, values)
        self.keys, self.values = keys, values

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Stores the states of a pass and gives all that it may read: both are rows x heads x tokens x size."""
        view = self.view
        rows = slice(view.first, view.first + view.rows)
        if view.positions is None or view.row_index is None:
            self.keys[rows, :, view.start : view.end] = key_states
            self.values[rows, :, view.start : view.end] = value_states
        else:
            # The buffers of a model spread over several devices are spread too. Else this moves nothing.
            row, column = view.row_index.to(self.device), view.positions.to(self.device)
            self.keys[row, :, column] = key_states[:, :, 0]
            self.values[row, :, column] = value_states[:, :, 0]
        return self.keys[rows, :, : view.end], self.values[rows, :, : view.end]

    def get_seq_length(self, *args: Any) -> int:
        return self.view.start

    def get_mask_sizes(self, query: Any) -> tuple[int, int]:
        """transformers 5 passes the number of queries, 4.57 their positions. The view has the end in either case."""
        return self.view.end, 0


class PoolCache(DynamicCache):
    """The cache that the model is given."""

    def __init__(self, layers: list[PoolLayer]) -> None:
        Cache.__init__(self, layers=layers)


class KvPool:
    """Buffers for `rows` x `columns` tokens. They grow as needed and are freed when nothing runs."""

    def __init__(self, shapes: Sequence[LayerShape], max_rows: int) -> None:
        self.view = View()
        self.layers = [PoolLayer(shape, self.view) for shape in shapes]
        self.cache = PoolCache(self.layers)
        self.rows = 0
        self.columns = 0
        self._max_rows = max_rows
        # All layers together, for one token of one row.
        self.bytes_per_token = sum(shape.bytes_per_token for shape in shapes)

    @property
    def held(self) -> int:
        """Tokens that there is memory for."""
        return self.rows * self.columns

    def holds(self, rows: int, columns: int) -> bool:
        """Whether there is memory for this many rows of this many tokens."""
        return rows <= self.rows and columns <= self.columns

    def reserve(self, rows: int, columns: int, budget: int) -> None:
        """Makes room for `rows` of `columns` tokens, which covers all that is stored.

        Rows and columns beyond that are given up where `budget` tokens do not suffice for them. Raises torch's error
        where memory runs out; what is stored is then still whole.
        """
        if self.holds(rows, columns):
            return
        needed = -(-columns // COLUMN_BLOCK) * COLUMN_BLOCK
        wide = max(self.columns, needed)
        # The number of rows doubles as far as the budget goes: not each new row copies everything.
        high = self.rows if rows <= self.rows else max(rows, min(2 * self.rows, self._max_rows))
        if high * wide > budget:
            wide = needed
            high = max(rows, min(high, budget // wide))
        self.rows, self.columns = min(self.rows, high), min(self.columns, wide)
        for layer in self.layers:
            if layer.keys.shape[0] != high or layer.keys.shape[2] != wide:
                layer.resize(high, wide)
        self.rows, self.columns = high, wide

    def release(self) -> None:
        """Frees the memory. Nothing is stored any more."""
        if self.rows:
            for layer in self.layers:
                layer.resize(0, 0)
            self.rows = self.columns = 0

    def move(self, source: int, target: int, length: int) -> None:
        """Copies the first `length` tokens of row `source` to row `target`."""
        for layer in self.layers:
            layer.keys[target, :, :length] = layer.keys[source, :, :length]
            layer.values[target, :, :length] = layer.values[source, :, :length]

    def clear(self, row: int) -> None:
        """Sets a row to zero. Numbers that are not finite would reach other rows through any mask."""
        for layer in self.layers:
            layer.keys[row] = 0
            layer.values[row] = 0

    def aim_prefill(self, row: int, start: int, end: int) -> None:
        """The next pass writes the columns from `start` to `end` of one row."""
        view = self.view
        view.first, view.rows, view.start, view.end = row, 1, start, end
        view.positions = view.row_index = None

    def aim_decode(self, positions: Tensor, longest: int) -> None:
        """`positions` holds each row's column; `longest` is the largest of them."""
        view = self.view
        view.first, view.rows, view.start, view.end = 0, len(positions), longest, longest + 1
        view.positions = positions
        view.row_index = torch.arange(len(positions), device=positions.device)

    def aim_decode_even(self, rows: int, position: int) -> None:
        """All rows are equally long: one block is written, and no mask is needed."""
        view = self.view
        view.first, view.rows, view.start, view.end = 0, rows, position, position + 1
        view.positions = view.row_index = None


def _copy_corner(source: Tensor, target: Tensor) -> None:
    rows = min(source.shape[0], target.shape[0])
    columns = min(source.shape[2], target.shape[2])
    target[:rows, :, :columns] = source[:rows, :, :columns]
