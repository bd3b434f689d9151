"""Rows and columns that are mixed in an unknown way: found = A x Bᵀ for each image and channel.

With A known, B follows by least squares from all rows, and the other way round: both are found in turns.
"""

from collections.abc import Iterator

import numpy as np

from npswin.types import Array
from npswin.verify.fits.interpolation import interpolation
from npswin.verify.mistakes.pixels.prepared import MARGIN, Images, Prepared

SHARES = (1.0, 0.85, 0.7, 0.55, 0.4, 0.3)  # of an axis, with which the search begins
PER_NUMBER = 2.0  # pixels for each number of both matrices
MOST_TURNS = 200
HOPELESS = 20  # turns after which much has to be explained
LITTLE = 0.5  # share of the spread that may be left then
SLOW = 0.999  # of what was left a turn before
LARGEST = 128  # side of an image
SMALL = 1e-3  # a weight that does not count
LISTED = 6
NEAR = 0.05  # of places from a line
TERMS = 64


def mixed_rows_and_columns(images: Images) -> Iterator[Prepared]:
    """Matrices along rows and columns that give the port's images, told by how they move and spread them."""
    height, width = images.pixels.shape[2:]
    if images.found.size < PER_NUMBER * (height**2 + width**2) or max(height, width) > LARGEST:
        return
    x, wanted = images.pixels.reshape(-1, height, width), images.undone.reshape(-1, height, width)
    if min(len(x) * width / height, len(x) * height / width) < PER_NUMBER:
        return
    matrices = _matrices(x, wanted, images.pixel_tolerance)
    if matrices is None:
        return
    rows, columns = matrices
    scale = float(np.median(rows.sum(axis=1))) or 1.0
    rows, columns = rows / scale, columns * scale

    def mix(pixels: Array) -> Array:
        return np.asarray(rows @ pixels @ columns.T)

    function = images.before(mix)
    if images.explains(function(images.pixels), TERMS):
        parts = [f"{name} {_along(matrix)}" for name, matrix in (("row", rows), ("column", columns))]
        yield Prepared("rows and columns are mixed: " + "; ".join(parts), function, rows.size + columns.size, TERMS)


def _matrices(x: Array, wanted: Array, tolerance: float) -> tuple[Array, Array] | None:
    """A (H, H) and B (W, W) in turns; None where they do not explain all."""
    rows, left = min(_windows(x.shape[1]), key=lambda one: _left(one, _solved(one @ x, wanted), x, wanted)), np.inf
    spread = float(np.std(wanted))
    for turn in range(MOST_TURNS):
        columns = _solved(rows @ x, wanted)
        rows = _solved((x @ columns.T).swapaxes(1, 2), wanted.swapaxes(1, 2))
        before, left = left, _left(rows, columns, x, wanted)
        if left <= tolerance / MARGIN:
            return rows, columns
        if not np.isfinite(left) or (turn >= HOPELESS and (left > LITTLE * spread or left > SLOW * before)):
            return None
    return None


def _windows(size: int) -> Iterator[Array]:
    """Matrices from which the search may begin: parts of an axis, enlarged to all of it."""
    for share in SHARES:
        length = max(2, round(share * size))
        for first in range(0, size - length + 1, max(1, length // 4)):
            yield interpolation("bilinear", size, length) @ np.eye(size)[first : first + length]


def _left(rows: Array, columns: Array, x: Array, wanted: Array) -> float:
    """The root mean square of what the matrices do not explain."""
    return float(np.sqrt(np.mean((rows @ x @ columns.T - wanted) ** 2)))


def _solved(x: Array, wanted: Array) -> Array:
    """M with wanted = x Mᵀ, from the rows of all."""
    return np.linalg.lstsq(x.reshape(-1, x.shape[2]), wanted.reshape(-1, wanted.shape[2]), rcond=None)[0].T


def _along(matrix: Array) -> str:
    """What a matrix does along an axis: from where its entries come, and how many are mixed."""
    if np.abs(matrix - np.eye(len(matrix))).max() < SMALL:
        return "i is itself"
    weights = np.abs(matrix) > SMALL * np.abs(matrix).max()
    counts = weights.sum(axis=1)
    total = matrix.sum(axis=1)
    whole = np.abs(total - 1) < SMALL * 10
    many = f"{counts.min()} to {counts.max()}" if counts.min() < counts.max() else f"{counts[0]}"
    if whole.sum() < len(matrix) / 2:
        return f"i is a sum of {many} others, whose weights' sums go from {total.min():.4g} to {total.max():.4g}"
    index = np.flatnonzero(whole)
    places = np.round((matrix @ np.arange(len(matrix)))[index], 3)
    inner = slice(len(index) // 4, -(len(index) // 4) or None)  # without what is clamped at the edges
    slope, start = np.polyfit(index[inner], places[inner], 1)
    if np.abs(start + slope * index - places)[inner].max() <= NEAR:
        return f"i is from {start:.3g} + {slope:.4g} i, of {many} of the key's"
    if counts.max() == 1:
        return f"i is the key's {', '.join(f'{place:.0f}' for place in places[:LISTED])}, ..."
    return f"i is of {many} of the key's, around {', '.join(f'{place:.3g}' for place in places[:LISTED])}, ..."
