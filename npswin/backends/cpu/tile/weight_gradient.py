"""The derivative by a weight: a sum over all tokens, dW_oc = Σ_t a_ot b_tc.

One factor is in lanes, tile by tile, the other a map with a token's channels side by side; the product's left and
right. A thread takes some rows of dW, as many as fit in its L2 cache, and adds up all tiles for them before the
next: no thread has a copy of dW of its own, so there is nothing to add up in the end.
"""

from typing import NamedTuple

from npswin.backends.cpu.machine.compilation import kernel
from npswin.backends.cpu.machine.memory import pooled_empty
from npswin.backends.cpu.machine.processor import TILE_ROWS, VECTOR_BYTES, round_up
from npswin.backends.cpu.machine.threads import run_parallel
from npswin.backends.cpu.simd.intrinsics import lanes_of
from npswin.backends.cpu.simd.matrix_product import product
from npswin.backends.cpu.simd.micro_kernel import FROM_OUTPUT, FROM_ZERO
from npswin.backends.cpu.simd.transpose import transpose_strided
from npswin.types import Array

BLOCK_BYTES = 256 * 1024


class _Factors(NamedTuple):
    """a and b of a chunk of tokens.

    Attributes:
        a: (tiles, rows, stride) flat, in lanes.
        stride: numbers between rows of a.
        tile: tokens in a tile.
        b: (..., columns) flat, token after token.
        b_first: the chunk's first token in b.
        tokens: in the chunk.
    """

    a: Array
    stride: int
    tile: int
    b: Array
    b_first: int
    tokens: int


@kernel
def _weight_gradient(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    factors: _Factors,
    dweight: Array,
    rows: int,
    columns: int,
    overwrite: bool,
) -> None:
    """first, stop: in groups of TILE_ROWS rows of dW."""
    a, b, stride, tile = factors.a, factors.b, factors.stride, factors.tile
    last = min(rows, stop * TILE_ROWS)
    most = max(1, BLOCK_BYTES // (columns * b.itemsize * TILE_ROWS)) * TILE_ROWS
    blocks = -(-(last - first * TILE_ROWS) // most)
    block = round_up(-(-(last - first * TILE_ROWS) // blocks), TILE_ROWS)
    for row in range(first * TILE_ROWS, last, block):
        height = min(block, last - row)
        for t in range(-(-factors.tokens // tile)):
            count = min(tile, factors.tokens - t * tile)
            left = (a, (t * rows + row) * stride, stride, 1)
            right = (b, (factors.b_first + t * tile) * columns, columns)
            start = FROM_ZERO if overwrite and t == 0 else FROM_OUTPUT
            product(height, columns, count, left, right, (dweight, row * columns, columns), start, (b, 0))


def weight_gradient(
    a: Array, stride: int, tile: int, b: Array, b_first: int, tokens: int, dweight: Array, overwrite: bool
) -> None:
    """dweight += Σ a b over a chunk of tokens, or = where it is to be overwritten.

    Args:
        a, stride, tile, b, b_first, tokens: see `_Factors`.
        dweight: (rows, columns).
        overwrite: whether dweight holds nothing yet.
    """
    rows, columns = dweight.shape
    factors = _Factors(a, stride, tile, b, b_first, tokens)
    run_parallel(
        *(_weight_gradient, -(-rows // TILE_ROWS), 1, b.dtype),
        *(factors, dweight.reshape(-1), rows, columns, overwrite),
    )


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
