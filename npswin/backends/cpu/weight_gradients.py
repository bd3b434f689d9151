"""The derivative by a weight: a sum over all tokens, dW_oc = Σ_t a_ot b_tc.

One factor is in lanes, tile by tile, the other a map with a token's channels side by side; the product's left and
right. A thread takes some rows of dW, as many as stay in its second cache, and adds up all tiles for them before the
next: no thread has a copy of dW to itself, so there is nothing to add up in the end.
"""

from npswin.backends.cpu.host import TILE_ROWS, VECTOR_BYTES, round_up
from npswin.backends.cpu.jit import kernel
from npswin.backends.cpu.memory import empty
from npswin.backends.cpu.micro_kernel import ACCUMULATE, ZERO
from npswin.backends.cpu.product import product
from npswin.backends.cpu.threads import run_parallel
from npswin.backends.cpu.transposition import transpose_strided
from npswin.backends.cpu.vectors import lanes_of
from npswin.types import Array

BLOCK_BYTES = 256 * 1024


@kernel
def _weight_gradient(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    a: Array,
    stride: int,
    tile: int,
    b: Array,
    b_first: int,
    tokens: int,
    dweight: Array,
    rows: int,
    columns: int,
    fresh: bool,
) -> None:
    """first, stop: in groups of TILE_ROWS rows of dW."""
    last = min(rows, stop * TILE_ROWS)
    most = max(1, BLOCK_BYTES // (columns * b.itemsize * TILE_ROWS)) * TILE_ROWS
    blocks = -(-(last - first * TILE_ROWS) // most)
    block = round_up(-(-(last - first * TILE_ROWS) // blocks), TILE_ROWS)
    for row in range(first * TILE_ROWS, last, block):
        height = min(block, last - row)
        for t in range(-(-tokens // tile)):
            count = min(tile, tokens - t * tile)
            left = (a, (t * rows + row) * stride, stride, 1)
            right = (b, (b_first + t * tile) * columns, columns)
            start = ZERO if fresh and t == 0 else ACCUMULATE
            product(height, columns, count, left, right, (dweight, row * columns, columns), start, (b, 0))


def weight_gradient(
    a: Array, stride: int, tile: int, b: Array, b_first: int, tokens: int, dweight: Array, fresh: bool
) -> None:
    """dweight += Σ a b over a chunk of tokens, or = where it is fresh.

    Args:
        a: (tiles, rows, stride) flat, in lanes.
        stride: numbers between rows of a.
        tile: tokens in a tile.
        b: (..., columns) flat, token after token.
        b_first: the chunk's first token in b.
        tokens: in the chunk.
        dweight: (rows, columns).
        fresh: whether dweight holds nothing yet.
    """
    rows, columns = dweight.shape
    run_parallel(
        *(_weight_gradient, -(-rows // TILE_ROWS), 1, b.dtype),
        *(a, stride, tile, b, b_first, tokens, dweight.reshape(-1), rows, columns, fresh),
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


def transposed(x: Array) -> Array:
    """(columns, rows), contiguous, of x (rows, columns)."""
    rows, columns = x.shape
    out = empty((columns, rows), x.dtype)
    groups = -(-rows * x.itemsize // VECTOR_BYTES)
    run_parallel(_transpose, groups, 1, x.dtype, x.reshape(-1), rows, columns, out.reshape(-1))
    return out
