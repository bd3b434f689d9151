"""The position bias as `attention_head` reads it, and its derivative collected into the table."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from npswin.backends.cpu.machine.compilation import announced, cached, kernel
from npswin.backends.cpu.machine.flat_array import view
from npswin.ops.position_bias import relative_position_index
from npswin.types import Array


class BiasLayout(NamedTuple):
    """Sizes of the bias as it is laid out: (heads, N, windows_per_step, padded_tokens), the last two axes a row.

    Attributes:
        tokens: N, in a window.
        padded_tokens: N up to a whole vector.
        windows_per_step: windows that a head takes at a time.
        heads: 0, 1 (shared by all) or h.
    """

    tokens: int
    padded_tokens: int
    windows_per_step: int
    heads: int

    @property
    def size(self) -> int:
        """Numbers in all."""
        return self.heads * self.tokens * self.windows_per_step * self.padded_tokens


@lru_cache(maxsize=16)
def bias_table_rows(window_size: int, full: bool) -> Array:
    """For each key and query, N·N in this order, the row of the bias table that they read.

    Args:
        window_size: M.
        full: whether the table has a number for each pair; else one for each relative position.
    """
    tokens = window_size**2
    rows = np.arange(tokens**2).reshape(tokens, tokens) if full else relative_position_index(window_size)
    return np.ascontiguousarray(rows.T).reshape(-1)


@kernel
def expand_bias_table(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    table: Array,
    rows: Array,
    factor: float,
    layout: BiasLayout,
    out: Array,
) -> None:
    """out[head][key][window][query] = factor · table[row][head], the queries padded to whole vectors by zeros.

    It is the same for all windows, and repeated for as many as a head takes at a time.

    Args:
        first, stop: heads.
        part: not used.
        scratch: a number for each of the table's rows.
        table: flat.
        rows: the table's row for each key and query, N·N in this order.
        factor: a number of the table's dtype.
        layout: sizes; `heads` is the number of the table's columns.
        out: filled.
    """
    tokens, per_step, heads = layout.tokens, layout.windows_per_step, layout.heads
    size = table.size // heads
    for head in range(first, stop):
        for row in range(size):
            scratch[row] = factor * table[row * heads + head]
        for j in range(tokens):
            rows_of_key = view(rows, j * tokens, tokens)
            for window in range(per_step):
                start = ((head * tokens + j) * per_step + window) * layout.padded_tokens
                queries = view(out, start, layout.padded_tokens)
                for i in range(tokens):
                    queries[i] = scratch[rows_of_key[i]]
                for i in range(tokens, layout.padded_tokens):
                    queries[i] = 0


@announced
@cached
def accumulate_bias_table_gradient(dbias: Array, rows: Array, layout: BiasLayout, dtable: Array) -> None:
    """The transpose of `expand_bias_table`: each row of the table, zeros at first, sums over the pairs that read it."""
    tokens, per_step, heads = layout.tokens, layout.windows_per_step, layout.heads
    for head in range(heads):
        for j in range(tokens):
            rows_of_key = view(rows, j * tokens, tokens)
            for window in range(per_step):
                start = ((head * tokens + j) * per_step + window) * layout.padded_tokens
                queries = view(dbias, start, tokens)
                for i in range(tokens):
                    dtable[rows_of_key[i] * heads + head] += queries[i]
