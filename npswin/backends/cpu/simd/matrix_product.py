"""C = A B, or C += A B, on blocks that are in the cache: the loop over register tiles.

Which way round the loops run decides what stays where. The outer loop takes `TILE_ROWS` rows of A, which stay in the
first cache while the inner loop takes B two vectors wide; B, a tile's activations, stays in the second cache.
"""

from npswin.backends.cpu.machine.compilation import inner_function
from npswin.backends.cpu.machine.processor import ONE_VECTOR_ROWS, TILE_ROWS
from npswin.backends.cpu.simd.intrinsics import lanes_of
from npswin.backends.cpu.simd.micro_kernel import ACCUMULATE, BIAS, MATRIX, TILE_HEIGHTS, tile_product
from npswin.types import Array

FEW_ROWS = TILE_HEIGHTS[2][1]


@inner_function
def product(
    rows: int,
    columns: int,
    depth: int,
    left: tuple[Array, int, int, int],
    right: tuple[Array, int, int],
    out: tuple[Array, int, int],
    start: int,
    bias: tuple[Array, int],
) -> None:
    """c_ij = start + Σ_k a_ik b_kj for i < rows, j < columns, k < depth, on flat arrays.

    Args:
        rows, columns, depth: the sizes.
        left: (a, offset, row, column): a_ik is a[offset + i·row + k·column]; row or column is 1.
        right: (b, offset, row): b_kj is b[offset + k·row + j].
        out: (c, offset, row): c_ij is c[offset + i·row + j].
        start: ZERO, ACCUMULATE (what c holds), BIAS (element offset + i of `bias`) or MATRIX (offset + i·c's row + j).
        bias: (array, offset), read where start is BIAS or MATRIX; else any array of the same dtype.
    """
    a, a_offset, a_row, a_column = left
    b, b_offset, b_row = right
    c, c_offset, c_row = out
    biases, bias_offset = bias
    lanes = lanes_of(c)
    by_row = 1 if a_column == 1 else 0
    stride = a_row if by_row else a_column
    whole = columns - columns % lanes
    most = ONE_VECTOR_ROWS if whole == lanes else TILE_ROWS
    i = 0
    while i < rows:
        left_over = rows - i
        height = most if left_over >= most else TILE_ROWS if left_over >= TILE_ROWS else FEW_ROWS
        if left_over < FEW_ROWS:
            height = 1
        ai, ci = a_offset + i * a_row, c_offset + i * c_row
        bi = bias_offset + i * (c_row if start == MATRIX else 1)
        j = 0
        while j < whole:
            vectors = 2 if whole - j >= 2 * lanes else 1
            bj, cj, mj = b_offset + j, ci + j, bi + (j if start == MATRIX else 0)
            tile_product(a, ai, stride, b, bj, b_row, c, cj, c_row, depth, start, biases, mj, by_row, height, vectors)
            j += vectors * lanes
        for row in range(height):  # columns that fill no vector: only where a width is odd
            for j in range(whole, columns):
                place = ci + row * c_row + j
                total = c.dtype.type(0)
                if start == ACCUMULATE:
                    total = c[place]
                elif start == BIAS:
                    total = biases[bi + row]
                elif start == MATRIX:
                    total = biases[bi + row * c_row + j]
                for k in range(depth):
                    total += a[ai + row * a_row + k * a_column] * b[b_offset + k * b_row + j]
                c[place] = total
        i += height
