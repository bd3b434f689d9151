"""The derivative by a weight: a sum over all tokens, dW_oc = Σ_t a_ot b_tc.

One factor is in lanes, tile by tile, the other a map with a token's channels side by side; the product's A and B.
A thread takes some rows of dW, as many as stay in its second cache, and adds up all tiles for them before the next.
"""

from npswin.backends.cpu.host import TILE_ROWS
from npswin.backends.cpu.jit import inner, kernel
from npswin.backends.cpu.micro_kernel import ACCUMULATE, ZERO
from npswin.backends.cpu.product import product
from npswin.backends.cpu.threads import run_parallel
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
    block = max(1, BLOCK_BYTES // (columns * b.itemsize) // TILE_ROWS) * TILE_ROWS
    last = min(rows, stop * TILE_ROWS)
    for row in range(first * TILE_ROWS, last, block):
        height = min(block, last - row)
        for number in range(-(-tokens // tile)):
            count = min(tile, tokens - number * tile)
            left = (a, (number * rows + row) * stride, stride, 1)
            right = (b, (b_first + number * tile) * columns, columns)
            start = ZERO if fresh and number == 0 else ACCUMULATE
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
