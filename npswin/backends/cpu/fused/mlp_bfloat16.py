"""The kernels of `npswin.backends.cpu.fused.mlp` with products of bfloat16 numbers.

What a product reads is rounded where it is computed: x̂ and GELU(h) become pair rows in their own place, which are half
as large; all else is float32 as there, the saved hidden layer too. In the backward pass dh is needed in two layouts, as
the right operand of W₁ᵀ dh and as the left one of dW₁. Both are rounded out of registers; so is s · GELU(h).
"""

from typing import Any, NamedTuple

import numpy as np

from npswin.backends.cpu.fused.mlp_tiles import (
    TILE_TOKEN_BYTES,
    MlpMaps,
    MlpOwnSums,
    MlpSaved,
    MlpSizes,
    MlpTransposes,
    MlpWeights,
    locate_tokens,
    make_tile_tokens,
)
from npswin.backends.cpu.machine.compilation import inner_function, kernel
from npswin.backends.cpu.machine.flat_array import fill, stack_memory
from npswin.backends.cpu.machine.processor import TILE_ROWS, round_up
from npswin.backends.cpu.simd.bfloat16 import LANES, NUMBERS, pair_rows, pairs_view, store_paired, store_rounded
from npswin.backends.cpu.simd.bfloat16_product import bfloat16_product
from npswin.backends.cpu.simd.elementary_functions import normal_cdf, normal_cdf_and_gelu_derivative
from npswin.backends.cpu.simd.intrinsics import broadcast, load, prefetch, sum_lanes
from npswin.backends.cpu.simd.micro_kernel import FROM_BIAS, FROM_OUTPUT, FROM_ZERO
from npswin.backends.cpu.tile.bfloat16_gradient import (
    PairsGradient,
    TilesOfPairs,
    add_rows_bfloat16,
    normalize_to_pair_rows,
    pairs_of_lanes,
)
from npswin.backends.cpu.tile.bfloat16_lanes import normalize_to_pairs
from npswin.backends.cpu.tile.bfloat16_weights import pairs_per_row
from npswin.backends.cpu.tile.lanes import (
    Lanes,
    gather,
    normalize_backward,
    normalize_with_saved_stats,
    scale_tokens,
    scatter_residual,
    sum_tokens,
)
from npswin.types import Array

ROWS = 32  # of the hidden layer between two products, as many as tile registers hold


@inner_function
def _gelu(hidden: Lanes, rows: int, width: int, out: tuple[Array, int, int]) -> None:
    """GELU of an even number of rows, as pair rows, which may begin in the same place."""
    x, offset, stride = hidden
    pairs, place, row = out
    for k in range(rows // 2):
        at = offset + 2 * k * stride
        for i in range(0, width, LANES):
            low, high = load(x, at + i), load(x, at + stride + i)
            store_paired(pairs, place + k * row + i, low * normal_cdf(low), high * normal_cdf(high))


@kernel
def forward(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    maps: MlpMaps,
    sizes: MlpSizes,
    weights: MlpWeights,
    saved: MlpSaved,
    shared: Array,
) -> None:
    """As in `mlp.py`, with both weights as `rounded_weight` has them, and `shared` in pair rows."""
    channels, hidden, tile, rows = sizes.channels, sizes.hidden, sizes.tile, sizes.rows_per_step
    split_by_rows = shared.size > 0
    first_tile, stop_tile = (0, 1) if split_by_rows else (first, stop)
    first_row, stop_row = (first * TILE_ROWS, min(hidden, stop * TILE_ROWS)) if split_by_rows else (0, hidden)
    fc1_row, fc2_row = pairs_per_row(channels), pairs_per_row(hidden)
    xhat, out = (scratch, 0, tile), (scratch, channels * tile, tile)
    normed = pairs_view(scratch, 0, channels * tile)
    step_start = 2 * channels * tile
    step = pairs_view(scratch, step_start, rows * tile)
    own_stats = step_start + rows * tile
    offsets, token_scales, all_in_map = make_tile_tokens(tile, stack_memory(TILE_TOKEN_BYTES * tile), maps.x)
    for t in range(first_tile, stop_tile):
        count = min(tile, sizes.tokens - t * tile)
        width = round_up(count, LANES)
        locate_tokens(t * tile, count, sizes, maps.image_scales, offsets, token_scales)
        gather(maps.x, offsets, count, channels, xhat)
        if weights.norm_weight.size:
            norm = weights.norm_weight, weights.norm_bias
            stats = (saved.stats, t * 2 * tile) if saved.stats.size else (scratch, own_stats)
            normalize_to_pairs(xhat, width, channels, norm, stats, (normed, 0, tile))
        else:
            pair_rows(channels, width, xhat, (normed, 0, tile))
        for h in range(first_row, stop_row, rows):
            height = min(rows, stop_row - h)
            into, at = (saved.hidden, (t * hidden + h) * tile) if saved.hidden.size else (scratch, step_start)
            for i in range(0, height, ROWS):
                some, row = min(ROWS, height - i), h + i
                lanes = (into, at + i * tile, tile)
                if saved.hidden.size and row + some < hidden:
                    prefetch(saved.hidden, at + (i + some) * tile, ROWS * tile)
                left, right, bias = (
                    (weights.fc1_weight, row * fc1_row, fc1_row),
                    (normed, 0, tile),
                    (weights.fc1_bias, row),
                )
                bfloat16_product(some, width, channels // 2, left, right, lanes, FROM_BIAS, bias)
                activated = (shared, row // 2 * tile, tile) if split_by_rows else (step, i // 2 * tile, tile)
                _gelu(lanes, some, width, activated)
            if split_by_rows:
                continue
            start, left = FROM_BIAS if h == 0 else FROM_OUTPUT, (weights.fc2_weight, h // 2, fc2_row)
            right, bias = (step, 0, tile), (weights.fc2_bias, 0)
            bfloat16_product(channels, width, height // 2, left, right, out, start, bias)
        if not split_by_rows:
            scatter_residual(out, token_scales, maps.shortcut, maps.y, offsets, all_in_map, count, channels)


class Chunk(NamedTuple):
    """What the backward pass of a chunk of tiles leaves for the gradients of the weights, in pairs of tokens.

    Attributes:
        activated, dhidden: (tiles, hidden, row) s · GELU(h) and dh, rows of bfloat16.
        normed, dout: (tiles, tile / 2, C) pair rows of x̂ and dy.
    """

    activated: Array
    dhidden: Array
    normed: Array
    dout: Array


def backward_scratch_size(sizes: MlpSizes, by_part: bool) -> int:
    """Numbers of working memory that `backward` needs."""
    channels, tile = sizes.channels, sizes.tile
    size = (3 * channels + 2 + ROWS + sizes.rows_per_step // 2) * tile
    return size + 2 * sizes.hidden * pairs_of_lanes(tile) + channels * tile if by_part else size


@inner_function
def _gelu_and_derivative(hidden: Array, at: int, gradient: Array, place: int, scales: Array, i: int) -> tuple[Any, Any]:
    """s · GELU(h), and dh out of the derivative by GELU(h), of a vector of tokens."""
    x = load(hidden, at + i)
    cdf, slope = normal_cdf_and_gelu_derivative(x)
    return x * cdf * load(scales, i), load(gradient, place + i) * slope


@inner_function
def _gelu_backward(
    hidden: tuple[Array, int],
    gradient: Array,
    start: int,
    tile: int,
    rows: int,
    width: int,
    scales: Array,
    activated: tuple[Array, int],
    dhidden: tuple[Array, int],
    back: tuple[Array, int],
    sums: tuple[Array, int],
) -> None:
    """Some rows of the hidden layer: s · GELU(h), dh and Σ dh.

    Args:
        hidden: the forward pass's, and where the rows begin, which are `tile` apart.
        gradient, start: the derivative by GELU(h), zeros beside the tokens, in rows as far apart.
        tile: lanes.
        rows: an even number.
        width: tokens, up to a whole vector.
        scales: s of each token, 0 beside them.
        activated, dhidden: rows of bfloat16, filled.
        back: pair rows of dh, filled.
        sums: Σ dh of each row.
    """
    zero, row = broadcast(np.float32(0)), pairs_of_lanes(tile)
    for j in range(0, rows, 2):
        at, place, into = hidden[1] + j * tile, start + j * tile, back[1] + j // 2 * tile
        low_sum = high_sum = zero
        for i in range(0, width, NUMBERS):
            low, dlow = _gelu_and_derivative(hidden[0], at, gradient, place, scales, i)
            high, dhigh = _gelu_and_derivative(hidden[0], at + tile, gradient, place + tile, scales, i)
            store_paired(back[0], into + i, dlow, dhigh)
            low_sum, high_sum = low_sum + dlow, high_sum + dhigh
            next_low = next_dlow = next_high = next_dhigh = zero
            following = i + LANES
            if following < width:
                next_low, next_dlow = _gelu_and_derivative(hidden[0], at, gradient, place, scales, following)
                next_high, next_dhigh = _gelu_and_derivative(
                    hidden[0], at + tile, gradient, place + tile, scales, following
                )
                store_paired(back[0], into + following, next_dlow, next_dhigh)
                low_sum, high_sum = low_sum + next_dlow, high_sum + next_dhigh
            first, second = j * row + i // 2, (j + 1) * row + i // 2
            store_rounded(activated[0], activated[1] + first, low, next_low)
            store_rounded(activated[0], activated[1] + second, high, next_high)
            store_rounded(dhidden[0], dhidden[1] + first, dlow, next_dlow)
            store_rounded(dhidden[0], dhidden[1] + second, dhigh, next_dhigh)
        sums[0][sums[1] + j], sums[0][sums[1] + j + 1] = sum_lanes(low_sum), sum_lanes(high_sum)


@kernel
def backward(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    chunk_first: int,
    dy: Array,
    maps: MlpMaps,
    sizes: MlpSizes,
    weights: MlpWeights,
    transposes: MlpTransposes,
    saved: MlpSaved,
    chunk: Chunk,
    own: MlpOwnSums,
    sums: Array,
) -> None:
    """As in `mlp.py`, with the transposes as `rounded_transpose` has them."""
    channels, hidden, tile, rows = sizes.channels, sizes.hidden, sizes.tile, sizes.rows_per_step
    row, fc1_row, fc2_row = pairs_of_lanes(tile), pairs_per_row(hidden), pairs_per_row(channels)
    dout, xhat, dxhat = (scratch, 0, tile), (scratch, channels * tile, tile), (scratch, 2 * channels * tile, tile)
    free = (scratch, 3 * channels * tile)
    gradient_start = (3 * channels + 2) * tile
    back_start = gradient_start + ROWS * tile
    dout_pairs = (pairs_view(scratch, 0, channels * tile), 0, tile)
    back = pairs_view(scratch, back_start, rows // 2 * tile)
    by_part = own.dfc1_weight.size > 0
    if by_part:
        at, size = back_start + rows // 2 * tile, tile // 2 * channels
        chunk = Chunk(
            pairs_view(scratch, at, hidden * row),
            pairs_view(scratch, at + hidden * row, hidden * row),
            pairs_view(scratch, at + 2 * hidden * row, size),
            pairs_view(scratch, at + 2 * hidden * row + size, size),
        )
    offsets, token_scales, all_in_map = make_tile_tokens(tile, stack_memory(TILE_TOKEN_BYTES * tile), maps.x)
    for place in range(first, stop):
        t, here = chunk_first + place, 0 if by_part else place
        count = min(tile, sizes.tokens - t * tile)
        width = round_up(count, LANES)
        sums_at, tokens_at = t * (3 * channels + hidden), here * (tile // 2) * channels
        locate_tokens(t * tile, count, sizes, maps.image_scales, offsets, token_scales)
        for i in range(count, tile):
            token_scales[i] = 0
        gather(dy, offsets, count, channels, dout)
        scale_tokens(dout, width, channels, token_scales)
        sum_tokens(dout, count, channels, sums, sums_at + 2 * channels)
        pair_rows(channels, width, dout, dout_pairs)
        pair_rows(count, channels, (dy, t * tile * channels, channels), (chunk.dout, tokens_at, channels))
        if weights.norm_weight.size:
            norm, own_stats = (weights.norm_weight, weights.norm_bias), (saved.stats, t * 2 * tile, tile)
            normalize_to_pair_rows(maps.x, offsets, count, channels, norm, own_stats, chunk.normed, tokens_at)
        else:
            pair_rows(count, channels, (maps.x, t * tile * channels, channels), (chunk.normed, tokens_at, channels))
        for h in range(0, hidden, rows):
            height = min(rows, hidden - h)
            for i in range(0, height, ROWS):
                some, hidden_row = min(ROWS, height - i), h + i
                saved_at, left_at = (t * hidden + hidden_row) * tile, (here * hidden + hidden_row) * row
                if hidden_row + some < hidden:
                    prefetch(saved.hidden, saved_at + some * tile, ROWS * tile)
                left, into = (transposes.fc2, hidden_row * fc2_row, fc2_row), (scratch, gradient_start, tile)
                bfloat16_product(some, width, channels // 2, left, dout_pairs, into, FROM_ZERO, (scratch, 0))
                _gelu_backward(
                    *((saved.hidden, saved_at), scratch, gradient_start, tile, some, width, token_scales),
                    *((chunk.activated, left_at), (chunk.dhidden, left_at), (back, i // 2 * tile)),
                    (sums, sums_at + 3 * channels + hidden_row),
                )
            start, left = FROM_ZERO if h == 0 else FROM_OUTPUT, (transposes.fc1, h // 2, fc1_row)
            bfloat16_product(channels, width, height // 2, left, (back, 0, tile), dxhat, start, (scratch, 0))
        if weights.norm_weight.size:
            stats = (saved.stats, t * 2 * tile)
            gather(maps.x, offsets, count, channels, xhat)
            normalize_with_saved_stats(xhat, width, channels, stats)
            normalize_backward(dxhat, xhat, count, channels, weights.norm_weight, stats, (sums, sums_at), free)
        if by_part:
            size, shape, pairs = hidden * channels, (hidden, channels, place == first), (count + 1) // 2
            tiles = TilesOfPairs(row, tile // 2, tile // 2, pairs)
            dfc1, dfc2 = (own.dfc1_weight, part * size, *shape), (own.dfc2_transposed, part * size, *shape)
            add_rows_bfloat16(PairsGradient(*dfc1, chunk.dhidden, chunk.normed, tiles), 0, hidden)
            add_rows_bfloat16(PairsGradient(*dfc2, chunk.activated, chunk.dout, tiles), 0, hidden)
        fill(token_scales, 1)
        scatter_residual(dxhat, token_scales, maps.shortcut, maps.y, offsets, all_in_map, count, channels)
