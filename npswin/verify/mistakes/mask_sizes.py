"""Masks of shifted windows that were built for a map of another size."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from npswin.types import Array
from npswin.verify.mistakes.map_of_windows import MapOfWindows, Masked

MOST_WINDOWS = 16  # rows or columns of windows of a map of any size


def masks_of_other_sizes(windows: MapOfWindows) -> Iterator[tuple[str, Masked]]:
    """The masks of another map: of as many windows, of more, whose first are taken, or of fewer, which are repeated."""
    height, width = windows.height, windows.width
    sides = max(height, width), min(height, width)
    sizes = {f"built for the square map of {side}×{side}": (side, side) for side in sides}
    sizes |= {f"built for another stage's map, of {size[0]}×{size[1]}": size for size in windows.others}
    count = windows.windows[0] * windows.windows[1]
    for words, size in sizes.items():
        other = MapOfWindows(*size, windows.side, windows.shift)
        yield words, partial(_first_masks, other, count)


def _first_masks(windows: MapOfWindows, count: int) -> Array:
    return windows.right[np.arange(count) % len(windows.right)]


def masks_of_any_size(windows: MapOfWindows) -> Iterator[tuple[str, Masked]]:
    """The masks of maps of up to twice as many rows and columns of windows."""
    rows, columns = (min(2 * count, MOST_WINDOWS) for count in windows.windows)
    kinds = MapOfWindows(2 * windows.side, 2 * windows.side, windows.side, windows.shift).right
    for other in np.ndindex(rows, columns):
        size = other[0] + 1, other[1] + 1
        words = "built for a map of {} by {} windows rather than {} by {}".format(*size, *windows.windows)
        yield words, partial(_of_size, kinds, size, len(windows.right))


def _of_size(kinds: Array, size: tuple[int, int], count: int) -> Array:
    """The masks of a map's windows: those within, in the last column, in the last row, and in the corner."""
    row, column = np.divmod(np.arange(count) % (size[0] * size[1]), size[1])
    masks: Array = kinds[2 * (row == size[0] - 1) + (column == size[1] - 1)]
    return masks
