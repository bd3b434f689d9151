"""Whole rows or columns of pixels at other places: interlaced, in another order, repeated, left out."""

from collections.abc import Iterator

import numpy as np

from npswin.types import Array
from npswin.verify.mistakes.pixels.prepared import Images, Prepared

LISTED = 8
FEWEST = 4  # numbers of a row, of all images and channels


def lines_elsewhere(images: Images) -> Iterator[Prepared]:
    """Each row, or each column, is one of the key's, or black."""
    for axis, name in ((2, "row"), (3, "column")):
        right, found = (_lines(array, axis) for array in (images.pixels, images.undone))
        if right.shape[1] < FEWEST:
            return
        right = np.concatenate([right, np.zeros_like(right[:1])])  # a black line
        squares = (found**2).sum(1)[:, None] + (right**2).sum(1) - 2 * found @ right.T
        source = squares.argmin(axis=1)
        if np.abs(right[source] - found).max() > images.pixel_tolerance:
            continue
        listed = ["black" if place == len(right) - 1 else str(place) for place in source[:LISTED]]
        words = f"{name}s are others of the key's: {', '.join(listed)}{', ...' * (len(source) > LISTED)}"
        changed = int((source != np.arange(len(source))).sum())

        def take(pixels: Array, axis: int = axis, source: Array = source) -> Array:
            black = np.zeros_like(np.take(pixels, [0], axis))
            return np.take(np.concatenate([pixels, black], axis), source, axis)

        yield Prepared(words, images.before(take), changed)
        return


def _lines(array: Array, axis: int) -> Array:
    return np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1)
