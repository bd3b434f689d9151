"""How a call of attention is cut into pieces of work: what follows from shapes alone, made once for each."""

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from npswin.backends.cpu.head import windows_together
from npswin.backends.cpu.host import TILE_ROWS, round_up, vector_lanes
from npswin.backends.cpu.tiles import windows_in_tile
from npswin.backends.cpu.windows import Windows, bias_rows, window_table
from npswin.types import Array


class AttentionPlan(NamedTuple):
    """See `plan_attention`.

    Attributes:
        table: the windows' places and sizes.
        sizes: C; heads; channels of a head; heads that are projected together; heads of the bias, which are 0, 1 or
            all; windows that a head takes at a time.
        tiles: how many.
        by_heads: whether the threads share the heads of the only tile, rather than the tiles.
        square: queries up to a whole vector.
        mask_value: as it is added to scores that are not yet divided, see `npswin.backends.cpu.head`.
        root: the √d by which they will be.
        bias_rows: see `npswin.backends.cpu.windows.bias_rows`.
        bias_layout: N, `square`, windows together and heads, as `lay_out_bias` takes them.
        bias_size: numbers of the bias as it is laid out.
    """

    table: Windows
    sizes: tuple[int, int, int, int, int, int]
    tiles: int
    by_heads: bool
    square: int
    mask_value: Any
    root: Any
    bias_rows: Array | None
    bias_layout: tuple[int, int, int, int]
    bias_size: int


@lru_cache(maxsize=256)
def plan_attention(
    shape: tuple[int, ...],
    qkv_shape: tuple[int, ...],
    proj_shape: tuple[int, ...],
    bias_shape: tuple[int, ...] | None,
    num_heads: int,
    window_size: int,
    shift: int,
    mask_value: float,
    dtype: Any,
    threads: int,
    keep: bool,
) -> AttentionPlan:
    """The plan of a call.

    Args:
        shape: (B, H, W, C) of the map.
        qkv_shape, proj_shape, bias_shape: of the weights and of the bias table, which is None where there is none.
        num_heads, window_size, shift, mask_value: as the word takes them.
        dtype: of the numbers.
        threads: that share the work.
        keep: whether the backward pass follows, which needs tiles.

    Raises:
        ValueError: shapes that do not fit; a kernel would read and write beyond the arrays.
    """
    batch, height, width, channels = shape
    dim, per_window = proj_shape[1] // num_heads, window_size**2
    inside = num_heads * dim
    if qkv_shape != (3 * inside, channels) or proj_shape != (channels, inside):
        raise ValueError(f"weights of {qkv_shape} and {proj_shape} do not fit a map of {shape} and {num_heads} heads")
    full = bias_shape == (per_window, per_window)
    rows = (2 * window_size - 1) ** 2
    if bias_shape is not None and not full and bias_shape not in ((rows, num_heads), (rows, 1)):
        raise ValueError(
            f"bias table: got shape {bias_shape}, expected ({rows}, {num_heads}) for windows of {window_size}"
        )
    bias_heads = 0 if bias_shape is None else 1 if full else bias_shape[1]

    table = window_table(height, width, window_size, shift)
    windows = batch * len(table[2])
    tile_windows, tile, by_heads = windows_in_tile(
        *(per_window, dtype.itemsize, max(1, windows), threads),
        *(0 if keep else num_heads, 4 * inside * channels * dtype.itemsize),
    )
    # as many heads together as fill the product's tiles of rows
    group = next((g for g in range(1, num_heads) if g * dim % TILE_ROWS == 0), num_heads)
    square = round_up(per_window, vector_lanes(dtype.itemsize))
    together = windows_together(per_window, square, dtype.itemsize, tile_windows)
    masked = mask_value * math.sqrt(dim)
    return AttentionPlan(
        table=(*table, per_window, height * width, windows, tile_windows, tile),
        sizes=(channels, num_heads, dim, group, bias_heads, together),
        tiles=-(-windows // tile_windows),
        by_heads=by_heads,
        square=square,
        mask_value=dtype.type(masked if math.isinf(masked) else max(masked, float(np.finfo(dtype).min))),
        root=dtype.type(math.sqrt(dim)),
        bias_rows=None if bias_shape is None else bias_rows(window_size, full),
        bias_layout=(per_window, square, together, bias_heads),
        bias_size=bias_heads * per_window * together * square,
    )
