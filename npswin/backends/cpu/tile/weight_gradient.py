"""The derivative by a weight: a sum over all tokens, dW_oc = Σ_t a_ot b_tc.

One factor is in lanes, tile by tile, the other a map with a token's channels side by side; the product's left and
right.

Usually a thread takes some rows of dW, as many as fit in its L2 cache, and adds up all tiles of a chunk for them before
the next: no thread has a copy of dW of its own, so there is nothing to add up in the end. A small dW stays in the cache
as it is. There each part of the work adds its tiles to a sum of its own as soon as they are computed, and nothing is
passed on to another thread; see `sums_by_part`.
"""

from typing import NamedTuple

from npswin.backends.cpu.machine.arrays import BLOCK
from npswin.backends.cpu.machine.compilation import inner_function, kernel
from npswin.backends.cpu.machine.flat_array import fill, view
from npswin.backends.cpu.machine.memory import pooled_empty
from npswin.backends.cpu.machine.processor import L2_BYTES, TILE_ROWS, VECTOR_BYTES, round_up
from npswin.backends.cpu.machine.threads import part_count, run_parallel
from npswin.backends.cpu.simd.intrinsics import lanes_of
from npswin.backends.cpu.simd.matrix_product import product
from npswin.backends.cpu.simd.micro_kernel import FROM_OUTPUT, FROM_ZERO
from npswin.backends.cpu.simd.transpose import transpose_strided
from npswin.types import Array

BLOCK_BYTES = 256 * 1024
OWN_SUMS_BYTES = L2_BYTES * 5 // 8  # of the gradients of which each part has a sum of its own
_ALL_SUMS_BYTES = 32 << 20  # of all parts' sums


class WeightGradient(NamedTuple):
    """dW, and the factors of some tokens' share in it.

    Attributes:
        dweight: flat; from `at` on (rows, columns).
        at: where it begins.
        rows, columns: of dW.
        overwrite: whether dW holds nothing yet.
        a: flat; from `a_at` on (tiles, rows, stride), in lanes.
        a_at: where they begin.
        stride: numbers between rows of a.
        tile: tokens in a tile.
        b: flat; from `b_at` on (tokens, columns).
        b_at: where they begin.
        tokens: how many.
    """

    dweight: Array
    at: int
    rows: int
    columns: int
    overwrite: bool
    a: Array
    a_at: int
    stride: int
    tile: int
    b: Array
    b_at: int
    tokens: int


@inner_function
def add_rows(g: WeightGradient, first: int, stop: int) -> None:
    """Add the tokens' share to rows first … stop of dW; first is a multiple of TILE_ROWS."""
    most = max(1, BLOCK_BYTES // (g.columns * g.b.itemsize * TILE_ROWS)) * TILE_ROWS
    blocks = -(-(stop - first) // most)
    block = round_up(-(-(stop - first) // blocks), TILE_ROWS)
    for row in range(first, stop, block):
        height = min(block, stop - row)
        for t in range(-(-g.tokens // g.tile)):
            count = min(g.tile, g.tokens - t * g.tile)
            left = (g.a, g.a_at + (t * g.rows + row) * g.stride, g.stride, 1)
            right = (g.b, g.b_at + t * g.tile * g.columns, g.columns)
            start = FROM_ZERO if g.overwrite and t == 0 else FROM_OUTPUT
            into = (g.dweight, g.at + row * g.columns, g.columns)
            product(height, g.columns, count, left, right, into, start, (g.b, 0))


@kernel
def _weight_gradients(
    first: int, stop: int, part: int, scratch: Array, one: WeightGradient, other: WeightGradient
) -> None:
    """first, stop: in groups of TILE_ROWS rows, of `one` and after them of `other`."""
    groups = -(-one.rows // TILE_ROWS)
    if first < groups:
        add_rows(one, first * TILE_ROWS, min(one.rows, stop * TILE_ROWS))
    if stop > groups:
        add_rows(other, max(first - groups, 0) * TILE_ROWS, min(other.rows, (stop - groups) * TILE_ROWS))


def weight_gradients(one: WeightGradient, other: WeightGradient | None = None) -> None:
    """Add a chunk of tokens' share to one or two gradients, the rows of both shared by the threads."""
    groups = -(-one.rows // TILE_ROWS) + (-(-other.rows // TILE_ROWS) if other else 0)
    run_parallel(_weight_gradients, groups, 1, one.b.dtype, one, other or one)


def sums_by_part(weight_bytes: int, tiles: int, threads: int) -> int:
    """Into how many sums parts add up their tiles' shares of a gradient, each its own; 0 where they share one.

    Args:
        weight_bytes: of all gradients of the op.
        tiles: of the call.
        threads: that share them.
    """
    parts = part_count(tiles, threads)
    are_small = weight_bytes <= OWN_SUMS_BYTES and parts * weight_bytes <= _ALL_SUMS_BYTES
    return parts if are_small and tiles >= 2 * parts else 0


@kernel
def _add_up(first: int, stop: int, part: int, scratch: Array, sums: Array, out: Array) -> None:
    """first, stop: in blocks of BLOCK numbers."""
    start, size = first * BLOCK, out.size
    count = min(stop * BLOCK, size) - start
    total = view(out, start, count)
    fill(total, 0)
    for place in range(start, sums.size, size):
        share = view(sums, place, count)
        for i in range(count):
            total[i] += share[i]


def added_up(sums: Array, parts: int) -> Array:
    """The sum of what parts have summed for themselves, (parts, numbers) flat; flat."""
    out = pooled_empty(sums.size // parts, sums.dtype)
    run_parallel(_add_up, -(-out.size // BLOCK), 0, out.dtype, sums, out)
    return out


@kernel
def _transpose(first: int, stop: int, part: int, scratch: Array, x: Array, rows: int, columns: int, out: Array) -> None:
    """first, stop: in groups of as many rows of x as a vector has lanes."""
    vector = lanes_of(x)
    whole = columns - columns % vector
    for i in range(first * vector, min(stop * vector, rows), vector):
        full = i + vector <= rows
        if full:
            for j in range(0, whole, vector):
                transpose_strided(x, i * columns + j, columns, out, j * rows + i, rows)
        for row in range(i, min(i + vector, rows)):
            for j in range(whole if full else 0, columns):
                out[j * rows + row] = x[row * columns + j]


def transposed_copy(x: Array) -> Array:
    """(columns, rows), contiguous, of x (rows, columns)."""
    rows, columns = x.shape
    out = pooled_empty((columns, rows), x.dtype)
    groups = -(-rows * x.itemsize // VECTOR_BYTES)
    run_parallel(_transpose, groups, 1, x.dtype, x.reshape(-1), rows, columns, out.reshape(-1))
    return out
