"""The derivative of a convolution by its weight: for each place, dW_ij = Σ dy xᵀ over the entries that it connects.

Both maps are factors of the product as they lie, a row of the map after the other: dy's tokens are the columns of the
left factor, x's the rows of the right one. A thread takes some rows of some dW_ij, and adds up all images for them.
"""

from typing import NamedTuple

import numpy as np

from npswin.backends.cpu.convolution.places import Places
from npswin.backends.cpu.machine.arrays import flat
from npswin.backends.cpu.machine.compilation import kernel
from npswin.backends.cpu.machine.flat_array import fill, view
from npswin.backends.cpu.machine.memory import pooled_empty
from npswin.backends.cpu.machine.processor import TILE_ROWS
from npswin.backends.cpu.machine.threads import run_parallel
from npswin.backends.cpu.simd.matrix_product import product
from npswin.backends.cpu.simd.micro_kernel import FROM_OUTPUT
from npswin.backends.cpu.tile.weight_gradient import BLOCK_BYTES
from npswin.types import Array


class _Sizes(NamedTuple):
    """Numbers of channels of x and dy, how many images, and groups of TILE_ROWS channels of dy."""

    inputs: int
    outputs: int
    images: int
    groups: int


@kernel
def _sum_products(
    first: int, stop: int, part: int, scratch: Array, x: Array, dy: Array, dweight: Array, p: Places, s: _Sizes
) -> None:
    """first, stop: groups of rows of dweight (kh·kw, O, I), of one place after the other."""
    inputs, outputs = s.inputs, s.outputs
    most = max(1, BLOCK_BYTES // (inputs * x.itemsize * TILE_ROWS))
    work = first
    while work < stop:
        place, group = divmod(work, s.groups)
        groups = min(most, stop - work, s.groups - group)
        work += groups
        channel = group * TILE_ROWS
        rows = min(groups * TILE_ROWS, outputs - channel)
        at = (place * outputs + channel) * inputs
        fill(view(dweight, at, rows * inputs), 0)
        i, j = divmod(place, p.kernel_width)
        for row in range(s.images * p.height):
            image, image_row = divmod(row, p.height)
            x_row = p.rows[image_row * p.kernel_height + i]
            if x_row >= 0:
                left = (dy, (row * p.width + p.first[j]) * outputs + channel, 1, outputs)
                token = (image * p.source_height + x_row) * p.source_width + p.source_first[j]
                right = (x, token * inputs, p.source_step * inputs)
                product(rows, inputs, p.counts[j], left, right, (dweight, at, inputs), FROM_OUTPUT, (x, 0))


def sum_weight_gradient(x: Array, dy: Array, kernel_size: tuple[int, int], places: Places) -> Array:
    """dweight (O, I, kh, kw).

    Args:
        x: (B, H, W, I).
        dy: (B, H', W', O).
        kernel_size: kh and kw.
        places: of the convolution from x to y.
    """
    inputs, outputs, count = x.shape[-1], dy.shape[-1], kernel_size[0] * kernel_size[1]
    dweight = pooled_empty((count, outputs, inputs), x.dtype)
    sizes = _Sizes(inputs, outputs, len(x), -(-outputs // TILE_ROWS))
    run_parallel(
        *(_sum_products, count * sizes.groups, 1, x.dtype),
        *(flat(x), flat(dy), dweight.reshape(-1), places, sizes),
    )
    return np.ascontiguousarray(dweight.transpose(1, 2, 0)).reshape(outputs, inputs, *kernel_size)
