"""Matrices that are multiplied by scales of their rows and columns, as by quantization along a wrong axis."""

from collections.abc import Iterator

import numpy as np

from npswin.types import Array
from npswin.verify.fits.explanation import Evidence, Explanation, Pair, times
from npswin.verify.fits.words import join

BITS = (8, 4)
FEWEST = 4  # rows and columns
FEWEST_PER_FACTOR = 4  # found numbers for each fitted factor, at least
PASSES = 30  # of fits of the rows' factors and the columns' in turn
LISTED = 3


def scales_along_the_other_axis(evidence: Evidence) -> Iterator[Explanation]:
    """A square matrix in integers with a scale for each row, multiplied by the columns' scales; or the reverse."""
    right = evidence.right
    if right.ndim != 2 or right.shape[0] != right.shape[1] or len(right) < FEWEST:
        return
    names = [join(axis).name for axis in evidence.axes]
    for axis in (0, 1):
        largest = np.abs(right).max(axis=1 - axis, keepdims=True)
        if not largest.all():
            continue
        for bits in BITS:
            scale = largest / (2 ** (bits - 1) - 1)
            factor = scale.T / scale
            if not evidence.agrees(np.rint(right / scale) * scale.T, max(1.0, float(factor.max()))):
                continue
            words = (
                f"rounded to integers of {bits} bits with a scale for each {names[axis]}, and multiplied by the scales "
                f"along the {names[1 - axis]} axis: that of entry i by the scale of {names[1 - axis]} i"
            )
            yield Explanation(words, _requantized(scale, scale.T))
            return


def _requantized(scale: Array, other: Array) -> Pair:
    """Rounded in steps of one scale, which are then as large as another; the derivative passes through."""

    def forward(x: Array) -> tuple[Array, object]:
        return (np.rint(x / scale) * other).astype(x.dtype), None

    return forward, lambda dy, _: (dy * (other / scale)).astype(dy.dtype)


def factors_of_rows_and_columns(evidence: Evidence) -> Iterator[Explanation]:
    """A factor for each row and one for each column of a matrix."""
    right, found = evidence.right, evidence.found
    if right.ndim != 2 or min(right.shape) < FEWEST or right.size < FEWEST_PER_FACTOR * sum(right.shape):
        return
    rows, columns = np.ones((len(right), 1)), np.ones((1, right.shape[1]))
    for _ in range(PASSES):
        rows = _factors(found, right * columns, 1)
        columns = _factors(found, right * rows, 0)
        if np.sqrt(np.mean((rows * columns * right - found) ** 2)) > np.sqrt(np.mean(found**2)) / 4:
            return
    factor = rows * columns
    if not evidence.agrees(factor * right, max(1.0, float(np.abs(factor).max()))):
        return
    names = [join(axis).name for axis in evidence.axes]
    rows, columns = rows * columns[0, 0], columns / columns[0, 0]
    listed = [", ".join(f"{one:.4g}" for one in each.reshape(-1)[:LISTED]) for each in (rows, columns)]
    words = f"each {names[0]} is multiplied by a factor, {listed[0]}, ..., and each {names[1]} by one, {listed[1]}, ..."
    yield Explanation(words, times(factor), sum(right.shape) - 1)


def _factors(found: Array, right: Array, axis: int) -> Array:
    squares = (right * right).sum(axis=axis, keepdims=True)
    return np.asarray((found * right).sum(axis=axis, keepdims=True) / np.where(squares, squares, 1))
