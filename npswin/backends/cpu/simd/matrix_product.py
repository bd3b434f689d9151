"""C = A B, or C += A B, on blocks that are in the cache: the loop over register tiles.

The order of the loops determines what stays in which cache. The outer loop takes `TILE_ROWS` rows of A, which stay in
the L1 cache while the inner loop takes B two vectors wide; B, a tile's activations, stays in the L2 cache.
"""

from typing import Any

from npswin.backends.cpu.machine.compilation import inner_function, shared_function, specialized_function
from npswin.backends.cpu.machine.processor import LAST_TILE_ROWS, ONE_VECTOR_ROWS, TILE_ROWS
from npswin.backends.cpu.simd.intrinsics import lanes_of, pointer
from npswin.backends.cpu.simd.micro_kernel import FEW_ROWS, FROM_BIAS, FROM_MATRIX, FROM_OUTPUT, tile_product
from npswin.types import Array


@inner_function
def lanes_product(
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
        rows, columns, depth: the sizes; columns is a multiple of a vector's lanes, as in a tile.
        left: (a, offset, row, column): a_ik is a[offset + i·row + k·column]; row or column is 1.
        right: (b, offset, row): b_kj is b[offset + k·row + j].
        out: (c, offset, row): c_ij is c[offset + i·row + j].
        start: FROM_ZERO, FROM_OUTPUT (what c holds), FROM_BIAS (element offset + i of `bias`) or FROM_MATRIX (element
            offset + i·c's row + j).
        bias: (array, offset), read where start is FROM_BIAS or FROM_MATRIX; else any array of the same dtype.
    """
    a, a_offset, a_row, a_column = left
    b, b_offset, b_row = right
    c, c_offset, c_row = out
    biases, bias_offset = bias
    _tiles(
        *(rows, columns, depth, pointer(a, a_offset), a_row, a_column, pointer(b, b_offset), b_row),
        *(pointer(c, c_offset), c_row, start, pointer(biases, bias_offset)),
    )


@shared_function
def _tiles(
    rows: int,
    columns: int,
    depth: int,
    a: Any,
    a_row: int,
    a_column: int,
    b: Any,
    b_row: int,
    c: Any,
    c_row: int,
    start: int,
    bias: Any,
) -> None:
    """`lanes_product` on pointers: an array would be seven arguments, and products are small."""
    lanes = lanes_of(c)
    by_row = 1 if a_column == 1 else 0
    stride = a_row if by_row else a_column
    i = 0
    while i < rows:
        height = _height(rows - i, columns, lanes)
        ai, ci, bi = i * a_row, i * c_row, i * (c_row if start == FROM_MATRIX else 1)
        j = 0
        while j < columns:
            vectors = 2 if columns - j >= 2 * lanes else 1
            cj, mj = ci + j, bi + (j if start == FROM_MATRIX else 0)
            after = j + vectors * lanes
            c_next = ci + after if after < columns else ci + height * c_row if i + height < rows else cj
            tile_product(
                *(a, ai, stride, b, j, b_row, c, cj, c_row, depth, start, bias, mj, by_row, height, vectors, c_next)
            )
            j = after
        i += height


@inner_function
def _height(rows: int, columns: int, lanes: int) -> int:
    """Of the next tile, where so many rows are left over."""
    most = ONE_VECTOR_ROWS if columns == lanes else TILE_ROWS
    if rows < FEW_ROWS:
        return 1
    if rows == LAST_TILE_ROWS and columns > lanes:
        return rows
    return most if rows >= most else TILE_ROWS if rows >= TILE_ROWS else FEW_ROWS


@specialized_function
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
    """`lanes_product` for any number of columns.

    The last ones, which fill no vector, are summed in an order that the compiler chooses by what it knows of the
    arguments. So there is a copy of this function for each combination of literal numbers among them.
    """
    a, a_offset, a_row, a_column = left
    b, b_offset, b_row = right
    c, c_offset, c_row = out
    biases, bias_offset = bias
    whole = columns - columns % lanes_of(c)
    lanes_product(rows, whole, depth, left, right, out, start, bias)
    i = 0
    while whole < columns and i < rows:
        height = _height(rows - i, whole, lanes_of(c))
        ai, ci = a_offset + i * a_row, c_offset + i * c_row
        bi = bias_offset + i * (c_row if start == FROM_MATRIX else 1)
        for row in range(height):
            for j in range(whole, columns):
                place = ci + row * c_row + j
                total = c.dtype.type(0)
                if start == FROM_OUTPUT:
                    total = c[place]
                elif start == FROM_BIAS:
                    total = biases[bi + row]
                elif start == FROM_MATRIX:
                    total = biases[bi + row * c_row + j]
                for k in range(depth):
                    total += a[ai + row * a_row + k * a_column] * b[b_offset + k * b_row + j]
                c[place] = total
        i += height
