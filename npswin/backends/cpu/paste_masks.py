"""`paste_masks`: of each mask the rows of its box, each interpolated once along y and then at its pixels."""

import numpy as np

from npswin.backends.cpu.machine.arrays import flat
from npswin.backends.cpu.machine.compilation import kernel
from npswin.backends.cpu.machine.flat_array import fill, view
from npswin.backends.cpu.machine.memory import pooled_empty
from npswin.backends.cpu.machine.threads import run_parallel
from npswin.types import Array


@kernel
def _paste(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    masks: Array,
    boxes: Array,
    cells: tuple[int, int],
    size: tuple[int, int],
    threshold: float,
    pasted: Array,
) -> None:
    high, wide = cells
    height, width = size
    number = masks.dtype.type
    row = view(scratch, 0, wide + 2)  # of the mask, with a zero before and after
    for index in range(first, stop):
        out = view(pasted, index * height * width, height * width)
        fill(out, 0)
        left, top, right, bottom = boxes[4 * index], boxes[4 * index + 1], boxes[4 * index + 2], boxes[4 * index + 3]
        if not (left < right and top < bottom and right - left < np.inf and bottom - top < np.inf):
            continue
        row[0], row[wide + 1] = 0, 0
        first_column = max(int(min(max(left - (right - left) / wide, 0.0), width)), 0)
        last_column = int(min(max(right + (right - left) / wide + 1, 0.0), width))
        for y in range(height):
            place = (y + 0.5 - top) * (high / (bottom - top)) - 0.5
            if not -1 < place < high:
                continue
            below = int(np.floor(place))
            weight = number(place - below)
            for cell in range(wide):
                lower = masks[(index * high + below) * wide + cell] if below >= 0 else number(0)
                upper = masks[(index * high + below + 1) * wide + cell] if below + 1 < high else number(0)
                row[cell + 1] = (number(1) - weight) * lower + weight * upper
            for x in range(first_column, last_column):
                place = (x + 0.5 - left) * (wide / (right - left)) - 0.5
                if -1 < place < wide:
                    cell = int(np.floor(place))
                    weight = number(place - cell)
                    value = (number(1) - weight) * row[cell + 1] + weight * row[cell + 2]
                    out[y * width + x] = 1 if value >= threshold else 0


def paste_masks(masks: Array, boxes: Array, size: tuple[int, int], threshold: float = 0.5) -> Array:
    """See `npswin.ops.paste_masks`."""
    pasted = pooled_empty((len(masks), *size), bool)
    cells = masks.shape[1], masks.shape[2]
    args = flat(masks), flat(boxes.astype(np.float64)), cells, size, masks.dtype.type(threshold)
    run_parallel(_paste, len(masks), cells[1] + 2, masks.dtype, *args, pasted.view(np.uint8).reshape(-1))
    return pasted
