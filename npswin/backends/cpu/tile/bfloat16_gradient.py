"""The derivative by a weight in bfloat16: `npswin.backends.cpu.tile.weight_gradient` with pairs of tokens as operands.

dW_oc = Σ_t a_ot b_tc has the tokens as its depth. The left operand, in lanes, is rounded as it lies: neighbours in a
row are neighbouring tokens. The right one has the same channel of two tokens in a pair. Where a tile has an odd number
of tokens, the left one has a zero beside the last one, and the right one any number. Sums are float32.
"""

from typing import Any, NamedTuple

import numpy as np
from numba.extending import register_jitable

from npswin.backends.cpu.machine.compilation import inner_function, kernel, shared_function
from npswin.backends.cpu.machine.processor import round_up
from npswin.backends.cpu.machine.threads import run_parallel
from npswin.backends.cpu.simd.bfloat16 import LANES, NUMBERS, store_paired, store_rounded
from npswin.backends.cpu.simd.bfloat16_product import bfloat16_product
from npswin.backends.cpu.simd.intrinsics import broadcast, if_less, load, with_lane
from npswin.backends.cpu.simd.micro_kernel import FROM_OUTPUT, FROM_ZERO
from npswin.backends.cpu.simd.transpose import transpose_strided
from npswin.backends.cpu.tile.lanes import Lanes
from npswin.backends.cpu.tile.weight_gradient import BLOCK_BYTES
from npswin.types import Array

_ROWS = 32  # of a group, as many as tile registers hold


class TilesOfPairs(NamedTuple):
    """Where the pairs of a chunk's tokens are.

    Attributes:
        a_row: pairs from a row of a tile of the left operand to the next.
        b_rows: rows from a tile of the right operand to the next.
        tile: pairs of tokens in a tile.
        pairs: in all.
    """

    a_row: int
    b_rows: int
    tile: int
    pairs: int


class PairsGradient(NamedTuple):
    """dW, and the factors of some tokens' share in it.

    Attributes:
        dweight: flat; from `at` on (rows, columns).
        at: where it begins.
        rows, columns: of dW.
        overwrite: whether dW holds nothing yet.
        a: (tiles, rows, a_row) flat, rows of bfloat16.
        b: (tiles, b_rows, columns) flat, pair rows.
        tiles: where the pairs are.
    """

    dweight: Array
    at: int
    rows: int
    columns: int
    overwrite: bool
    a: Array
    b: Array
    tiles: TilesOfPairs


@register_jitable  # kernels call it too
def pairs_of_lanes(tile: int) -> int:
    """Pairs from one row of a tile, as a left operand, to the next."""
    return round_up(tile, NUMBERS) // 2


@shared_function
def normalize_to_pair_rows(
    x: Array,
    offsets: Array,
    count: int,
    channels: int,
    norm: tuple[Array, Array],
    stats: Lanes,
    out: Array,
    at: int,
) -> None:
    """`normalize_to_rows` in pairs of tokens: pair out[at + k·C + c] = (x̂_2k,c  x̂_2k+1,c).

    An odd last token is paired with itself, and meets a zero in the left operand.

    Args:
        x, offsets, count, norm, stats: as there.
        channels: C, a multiple of a vector's lanes.
        out, at: int32, filled from `at` on.
    """
    weight, bias = norm
    array, mean_at, stride = stats
    for i in range(0, count, 2):
        j = min(i + 1, count - 1)
        mean, rstd = array[mean_at + i], array[mean_at + stride + i]
        next_mean, next_rstd = array[mean_at + j], array[mean_at + stride + j]
        place = at + i // 2 * channels
        for c in range(0, channels, LANES):
            gain, shift = load(weight, c), load(bias, c)
            low = (load(x, offsets[i] + c) - mean) * rstd * gain + shift
            high = (load(x, offsets[j] + c) - next_mean) * next_rstd * gain + shift
            store_paired(out, place + c, low, high)


@inner_function
def lane_numbers() -> Any:
    """The vector 0, 1, 2 …"""
    numbers = broadcast(np.float32(0))
    for place in range(LANES):
        numbers = with_lane(numbers, place, np.float32(place))
    return numbers


@shared_function
def round_lanes(lanes: Lanes, rows: int, count: int, out: tuple[Array, int, int]) -> None:
    """Rows of bfloat16 out of a tile: a left operand whose depth is the tokens.

    Args:
        lanes: the tile, float32.
        rows: of the tile.
        count: tokens; what the lanes beside them hold does not matter.
        out: (pairs, offset, row); a row is filled up with zeros to a whole vector of pairs.
    """
    x, x_offset, x_row = lanes
    pairs, offset, row = out
    lane_of, zero = lane_numbers(), broadcast(np.float32(0))
    whole = count - count % NUMBERS
    first_left, second_left = np.float32(count - whole), np.float32(count - whole - LANES)
    for i in range(rows):
        at, place = x_offset + i * x_row, offset + i * row
        for j in range(0, whole, NUMBERS):
            store_rounded(pairs, place + j // 2, load(x, at + j), load(x, at + j + LANES))
        if whole < count:
            low = if_less(lane_of, first_left, load(x, at + whole), zero)
            high = zero
            if whole + LANES < count:
                high = if_less(lane_of, second_left, load(x, at + whole + LANES), zero)
            store_rounded(pairs, place + whole // 2, low, high)


@shared_function
def transpose_pairs(lanes: tuple[Array, int, int], rows: int, columns: int, out: tuple[Array, int, int]) -> None:
    """out[j][i] = lanes[i][j], pair by pair; rows is a multiple of a vector's lanes, and out has whole vectors of rows.

    Args:
        lanes, out: (pairs, offset, row).
        rows, columns: of `lanes`, whose rows may be read up to a whole vector.
    """
    x, x_offset, x_row = lanes
    y, offset, row = out
    for j in range(0, columns, LANES):
        for i in range(0, rows, LANES):
            transpose_strided(x, x_offset + i * x_row + j, x_row, y, offset + j * row + i, row)


@inner_function
def add_rows_bfloat16(g: PairsGradient, first: int, stop: int) -> None:
    """Add the tokens' share to rows first … stop of dW."""
    most = max(1, BLOCK_BYTES // (4 * g.columns * _ROWS)) * _ROWS
    blocks = -(-(stop - first) // most)
    block = round_up(-(-(stop - first) // blocks), _ROWS)
    tiles = g.tiles
    for row in range(first, stop, block):
        height = min(block, stop - row)
        for t in range(-(-tiles.pairs // tiles.tile)):
            pairs = min(tiles.tile, tiles.pairs - t * tiles.tile)
            left = (g.a, (t * g.rows + row) * tiles.a_row, tiles.a_row)
            right = (g.b, t * tiles.b_rows * g.columns, g.columns)
            start = FROM_ZERO if g.overwrite and t == 0 else FROM_OUTPUT
            into = (g.dweight, g.at + row * g.columns, g.columns)
            bfloat16_product(height, g.columns, pairs, left, right, into, start, (g.dweight, 0))


@kernel
def _weight_gradients(
    first: int, stop: int, part: int, scratch: Array, one: PairsGradient, other: PairsGradient
) -> None:
    """first, stop: in groups of _ROWS rows, of `one` and after them of `other`."""
    groups = -(-one.rows // _ROWS)
    if first < groups:
        add_rows_bfloat16(one, first * _ROWS, min(one.rows, stop * _ROWS))
    if stop > groups:
        add_rows_bfloat16(other, max(first - groups, 0) * _ROWS, min(other.rows, (stop - groups) * _ROWS))


def weight_gradients_bfloat16(one: PairsGradient, other: PairsGradient | None = None) -> None:
    """Add a chunk of tokens' share to one or two gradients, as `weight_gradients`, of pairs of tokens."""
    groups = -(-one.rows // _ROWS) + (-(-other.rows // _ROWS) if other else 0)
    run_parallel(_weight_gradients, groups, 1, one.dweight.dtype, one, other or one)
