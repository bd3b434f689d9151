"""`box_iou`: for each box of the first array, blocks of the second, whose coordinates lie apart."""

import numpy as np

from npswin.backends.cpu.machine.arrays import flat
from npswin.backends.cpu.machine.compilation import inner_function, kernel
from npswin.backends.cpu.machine.flat_array import view
from npswin.backends.cpu.machine.memory import pooled_empty
from npswin.backends.cpu.machine.threads import run_parallel
from npswin.types import Array

BLOCK = 4096  # boxes of the second array in a piece of work


@inner_function
def overlaps(box: Array, others: Array, first: int, stop: int, iou: Array) -> None:
    """Writes the IoU of a box and of some of many others to the beginning of an array.

    Args:
        box: x₁, y₁, x₂, y₂.
        others: all x₁, then all y₁, all x₂, all y₂.
        first, stop: which of them.
        iou: for the results.
    """
    count, some = others.size // 4, stop - first
    left, top = view(others, first, some), view(others, count + first, some)
    right, bottom = view(others, 2 * count + first, some), view(others, 3 * count + first, some)
    x1, y1, x2, y2 = box[0], box[1], box[2], box[3]
    area, zero = (x2 - x1) * (y2 - y1), box.dtype.type(0)
    for i in range(some):
        wide = (x2 if x2 < right[i] else right[i]) - (x1 if x1 > left[i] else left[i])
        high = (y2 if y2 < bottom[i] else bottom[i]) - (y1 if y1 > top[i] else top[i])
        common = (wide if wide > 0 else zero) * (high if high > 0 else zero)
        union = area + (right[i] - left[i]) * (bottom[i] - top[i]) - common
        iou[i] = common / union if union != 0 else zero


@kernel
def _box_iou(first: int, stop: int, part: int, scratch: Array, a: Array, others: Array, iou: Array) -> None:
    count = others.size // 4
    blocks = -(-count // BLOCK)
    for piece in range(first, stop):
        row, block = divmod(piece, blocks)
        start, end = block * BLOCK, min((block + 1) * BLOCK, count)
        overlaps(view(a, 4 * row, 4), others, start, end, view(iou, row * count + start, end - start))


def box_iou(a: Array, b: Array) -> Array:
    """See `npswin.ops.box_iou`."""
    iou = pooled_empty((len(a), len(b)), a.dtype)
    others = flat(np.ascontiguousarray(b.T))
    run_parallel(_box_iou, len(a) * -(-len(b) // BLOCK), 0, a.dtype, flat(a), others, iou.reshape(-1))
    return iou
