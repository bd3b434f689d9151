"""How a call of attention is cut into pieces of work: what follows from shapes alone, computed once for each."""

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from npswin.backends.cpu.fused.attention_bias import BiasLayout, bias_table_rows
from npswin.backends.cpu.fused.attention_head import HeadSizes, windows_per_step
from npswin.backends.cpu.machine.processor import TILE_ROWS, round_up, vector_lanes
from npswin.backends.cpu.tile.sizes import plan_window_tiles
from npswin.backends.cpu.tile.window_tokens import WindowLayout, window_positions
from npswin.ops.window_attention import AttentionSpec
from npswin.types import Array


class AttentionSizes(NamedTuple):
    """Sizes that the kernels need besides those of the windows.

    Attributes:
        channels: C.
        heads: h.
        heads_per_group: heads whose q, k and v are projected by one product.
        head: sizes within a head.
        bias_heads: heads of the position bias: 0, 1 (shared by all) or h.
    """

    channels: int
    heads: int
    heads_per_group: int
    head: HeadSizes
    bias_heads: int


class AttentionPlan(NamedTuple):
    """See `plan_attention`.

    Attributes:
        windows: the windows' positions and sizes.
        sizes: of heads and channels.
        tiles: how many.
        split_by_heads: whether the threads share the heads of the only tile, rather than the tiles.
        mask_value: as it is added to scores that are not yet divided by √d, see `attention_head`.
        root_dim: the √d by which they will be.
        bias_table_rows: see `attention_bias.bias_table_rows`; None without a bias table.
        bias_layout: sizes of the bias as the kernels read it.
    """

    windows: WindowLayout
    sizes: AttentionSizes
    tiles: int
    split_by_heads: bool
    mask_value: Any
    root_dim: Any
    bias_table_rows: Array | None
    bias_layout: BiasLayout


@lru_cache(maxsize=256)
def plan_attention(
    shape: tuple[int, ...],
    proj_shape: tuple[int, ...],
    bias_shape: tuple[int, ...] | None,
    spec: AttentionSpec,
    dtype: Any,
    threads: int,
    for_backward: bool,
) -> AttentionPlan:
    """The plan of a call.

    Args:
        shape: (B, H, W, C) of the map.
        proj_shape, bias_shape: of a weight and of the bias table, which is None where there is none.
        spec: heads, windows, shift and mask.
        dtype: of the numbers.
        threads: that share the work.
        for_backward: whether the backward pass follows, which needs tiles.
    """
    batch, height, width, channels = shape
    num_heads, window_size = spec.num_heads, spec.window_size
    dim, tokens = proj_shape[1] // num_heads, window_size**2
    inner_dim = num_heads * dim
    full = bias_shape == (tokens, tokens)
    bias_heads = 0 if bias_shape is None else 1 if full else bias_shape[1]

    positions = window_positions(height, width, window_size, spec.shift_size)
    windows = batch * len(positions.needs_mask)
    windows_per_tile, tile, split_by_heads = plan_window_tiles(
        *(tokens, dtype.itemsize, max(1, windows), threads),
        *(0 if for_backward else num_heads, 4 * inner_dim * channels * dtype.itemsize),
    )
    # as many heads in a group as fill the product's tiles of rows
    group = next((g for g in range(1, num_heads) if g * dim % TILE_ROWS == 0), num_heads)
    padded_tokens = round_up(tokens, vector_lanes(dtype.itemsize))
    per_step = windows_per_step(tokens, padded_tokens, dtype.itemsize, windows_per_tile)
    masked = spec.mask_value * math.sqrt(dim)
    return AttentionPlan(
        windows=WindowLayout(*positions, tokens, height * width, windows, windows_per_tile, tile),
        sizes=AttentionSizes(channels, num_heads, group, HeadSizes(tokens, dim, padded_tokens, per_step), bias_heads),
        tiles=-(-windows // windows_per_tile),
        split_by_heads=split_by_heads,
        mask_value=dtype.type(masked if math.isinf(masked) else max(masked, float(np.finfo(dtype).min))),
        root_dim=dtype.type(math.sqrt(dim)),
        bias_table_rows=None if bias_shape is None else bias_table_rows(window_size, full),
        bias_layout=BiasLayout(tokens, padded_tokens, per_step, bias_heads),
    )
