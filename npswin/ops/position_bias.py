"""The bias that attention adds to a pair of tokens for where they stand (section 3.2, equation 4)."""

from functools import lru_cache
from typing import Any

import numpy as np

from npswin.ops.arguments import LARGEST_SIDE, Axes, integer
from npswin.ops.description import op
from npswin.types import Array


@lru_cache(maxsize=64)
def relative_position_index(window_size: int) -> Array:
    """For each pair of tokens of a window, the row of the bias table that it reads.

    With Δ = query's place − key's place, both components in −(M − 1) … M − 1, the row is
    (Δy + M − 1)(2M − 1) + Δx + M − 1.

    Args:
        window_size: M.

    Returns:
        (N, N) of integers in [0, (2M − 1)²), read-only.
    """
    place = np.arange(window_size * window_size)
    y, x = place // window_size, place % window_size
    delta_y = y[:, None] - y[None, :] + window_size - 1
    delta_x = x[:, None] - x[None, :] + window_size - 1
    index = delta_y * (2 * window_size - 1) + delta_x
    index.flags.writeable = False
    return index


TABLE_SIZES = {"N": lambda M: M * M, "R": lambda M: (2 * M - 1) ** 2}  # tokens of a window, relative positions


@op(table=Axes("R h", "N N"), window_size=integer("M", at_least=1, at_most=LARGEST_SIDE), derived=TABLE_SIZES)
def position_bias_forward(table: Array, window_size: int) -> tuple[Array, Any]:
    """The bias B of equation 4, out of its table.

    Args:
        table: ((2M − 1)², h), a row for each relative position and a column for each head; ((2M − 1)², 1), one column
            that the heads share; or (N, N), one number for each pair of tokens, shared by the heads as well.
        window_size: M.

    Returns:
        bias (h, N, N), or (1, N, N) where the heads share it, and the cache for the backward pass.

    Test: tests/ops/test_gradients.py::test_position_bias
    """
    if table.shape == (window_size**2, window_size**2):
        return table[None], (None, table)
    index = relative_position_index(window_size)
    return table[index].transpose(2, 0, 1), (index, table)


def position_bias_backward(dbias: Array, cache: Any) -> Array:
    """A row of the table is read by every pair at its relative position: its gradient is the sum over them.

    Args:
        dbias: (h, N, N) or (1, N, N).

    Returns:
        dtable, of the table's shape.
    """
    index, table = cache
    if index is None:
        return dbias[0]
    dtable = np.zeros_like(table)
    np.add.at(dtable, index, dbias.transpose(1, 2, 0))
    return dtable
