"""`resize_bicubic`: rows, then columns, as two products.

The matrices are mostly zeros, but are multiplied whole, as in the definition, so that NaN and infinity spread as there.
"""

import math
from typing import Any, NamedTuple

from npswin.backends.cpu.machine.arrays import flat
from npswin.backends.cpu.machine.compilation import kernel
from npswin.backends.cpu.machine.memory import pooled_empty
from npswin.backends.cpu.machine.processor import TILE_ROWS
from npswin.backends.cpu.machine.threads import run_parallel
from npswin.backends.cpu.simd.matrix_product import product
from npswin.backends.cpu.simd.micro_kernel import FROM_ZERO
from npswin.ops.resize import bicubic_matrix
from npswin.types import Array


class _Sizes(NamedTuple):
    """Of the maps before and after."""

    height: int
    width: int
    channels: int
    out_height: int
    out_width: int


@kernel
def _resize(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    x: Array,
    rows: Array,
    columns: Array,
    sizes: _Sizes,
    y: Array,
) -> None:
    """A piece is TILE_ROWS rows of an image's result."""
    height, width, channels, out_height, out_width = sizes
    row, out_row = width * channels, out_width * channels
    none = scratch, 0
    for piece in range(first, stop):
        image, block = divmod(piece, -(-out_height // TILE_ROWS))
        top = block * TILE_ROWS
        count = min(TILE_ROWS, out_height - top)
        left, right = (rows, top * height, height, 1), (x, image * height * row, row)
        product(count, row, height, left, right, (scratch, 0, row), FROM_ZERO, none)
        for o in range(count):
            right = scratch, o * row, channels
            out = y, (image * out_height + top + o) * out_row, channels
            product(out_width, channels, width, (columns, 0, width, 1), right, out, FROM_ZERO, none)


def _along_both_axes(rows: Array, columns: Array, x: Array) -> Array:
    """Σ_hw rows_oh columns_pw x_hwc for each o, p, c."""
    *lead, height, width, channels = x.shape
    y = pooled_empty((*lead, len(rows), len(columns), channels), x.dtype)
    pieces = math.prod(lead) * -(-len(rows) // TILE_ROWS)
    matrices = flat(rows.astype(x.dtype)), flat(columns.astype(x.dtype))
    sizes = _Sizes(height, width, channels, len(rows), len(columns))
    run_parallel(_resize, pieces, TILE_ROWS * width * channels, x.dtype, flat(x), *matrices, sizes, y.reshape(-1))
    return y


def resize_bicubic_forward(x: Array, size: tuple[int, int]) -> tuple[Array, Any]:
    """See `npswin.ops.resize_bicubic_forward`."""
    height, width = x.shape[-3:-1]
    rows, columns = bicubic_matrix(size[0], height), bicubic_matrix(size[1], width)
    return _along_both_axes(rows, columns, x), (rows, columns)


def resize_bicubic_backward(dy: Array, cache: Any) -> Array:
    """See `npswin.ops.resize_bicubic_backward`."""
    rows, columns = cache
    return _along_both_axes(rows.T, columns.T, dy)
