"""Images that were resized, cropped, padded or blurred: a matrix along the rows and one along the columns.

Of each pair of ways a few pixels are computed first; those that give them are tried on all.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from npswin.types import Array
from npswin.verify.fits.resampling import Way, groups_of_ways
from npswin.verify.mistakes.pixels.prepared import MARGIN, WHITE, Images, Prepared, are_integers

SEEN = 2  # images' channels of which some pixels are computed first
SLACK = 1.6  # of pixels that were rounded, perhaps several times
TERMS = 4  # times the square of a side: a place between two pixels is as inexact as its number is large
MOST_TRIED = 3  # pairs of each group that are tried on all pixels
BITS = 22  # of Pillow's weights
MANY = 200  # ways, of which fewer pixels are computed first
Group = tuple[str, list[Way]]
Round = Callable[[Array], Array]


def _roundings(images: Images) -> list[tuple[str, Round, bool]]:
    """In words, the rounding, and whether it is done also between columns and rows."""
    return [
        ("", lambda x: x, False),
        ("rounded to integers", images.rounded, False),
        ("rounded to integers after each axis, as Pillow does it", lambda x: np.floor(x + 0.5), True),
        ("cut to integers", lambda x: np.trunc(np.round(x, 9)), False),
    ]


class _Domain(NamedTuple):
    """Pixels before or after their normalization.

    Attributes:
        before: whether they are not normalized yet.
        x: the key's images (n, H, W), some of them.
        wanted: the port's.
        tolerance: the largest difference of equal numbers.
        is_whole: whether the port's are integers.
        is_limited: whether the port's are from 0 to 255.
    """

    before: bool
    x: Array
    wanted: Array
    tolerance: float
    is_whole: bool
    is_limited: bool

    def distance(self, rows: Array, columns: Array, row: Array, column: Array) -> Array:
        """(ways, ways'): how far some pixels, made in two ways, are from the port's.

        Args:
            rows, columns: of the pixels, (h) and (w).
            row, column: these rows of the ways' matrices, (ways, h, H) and (ways', w, W).
        """
        target = self.wanted[:, rows][:, :, columns][:, None, :, None, :]
        along_rows = self.x @ column.reshape(-1, column.shape[2]).T
        far = np.full((len(row), len(column)), np.inf)
        for between in (along_rows, np.clip(along_rows, 0, WHITE))[: 1 + self.is_whole]:
            made = row.reshape(-1, row.shape[2]) @ between
            made = made.reshape(len(self.x), len(row), len(rows), len(column), len(columns))
            made = np.clip(made, 0, WHITE) if self.is_limited else made
            far = np.minimum(far, np.abs(made - target).max((0, 2, 4)))
        return far


def resized(images: Images) -> Iterator[Prepared]:
    """Ways along both axes that give the port's images; at most one."""
    height, width = images.pixels.shape[2:]
    domains = [_domain(images, before) for before in (True, False)]
    of_rows = groups_of_ways(height)
    pairs = ((one, one) for one in of_rows) if height == width else _pairs(of_rows, groups_of_ways(width))
    for (name, row_ways), (_, column_ways) in pairs:
        few = 2 if len(row_ways) > MANY else 4
        rows, columns = (np.array([0, size // 3, size // 2, size - 1][-few:]) for size in (height, width))
        row, column = _some(row_ways, rows, height), _some(column_ways, columns, width)
        for domain in domains[: 1 + ("zeros" in name)]:
            far = domain.distance(rows, columns, row, column)
            far[-1, -1] = np.inf  # unchanged along both axes
            found = _tried(images, domain, far, [*row_ways, None], [*column_ways, None])
            if found is not None:
                yield found
                return


def _pairs(of_rows: Iterator[Group], of_columns: Iterator[Group]) -> Iterator[tuple[Group, Group]]:
    """Groups of the same kind for both axes; a longer axis may have fewer kinds."""
    columns: dict[str, Group] = {}
    for group in of_rows:
        while group[0] not in columns:
            following = next(of_columns, None)
            if following is None:
                return
            columns = {following[0]: following}
        yield group, columns[group[0]]


def _domain(images: Images, before: bool) -> _Domain:
    x, wanted = (images.pixels, images.undone) if before else (images.normalized, images.found)
    tolerance = images.pixel_tolerance if before else MARGIN * images.tolerance
    is_whole = before and are_integers(wanted, tolerance)
    is_limited = before and bool(wanted.min() >= -tolerance and wanted.max() <= WHITE + tolerance)
    x, wanted = (array.reshape(-1, *array.shape[2:])[:SEEN] for array in (x, wanted))
    return _Domain(before, x, wanted, tolerance, is_whole, is_limited)


def _tried(
    images: Images, domain: _Domain, far: Array, rows: Sequence[Way | None], columns: Sequence[Way | None]
) -> Prepared | None:
    """The nearest pairs of ways on all pixels."""
    terms = TERMS * max(images.pixels.shape[2:]) ** 2
    near = np.argwhere(far <= (SLACK if domain.is_whole else domain.tolerance * math.sqrt(terms)))
    for at in sorted(near, key=lambda at: (abs(at[0] - at[1]), far[tuple(at)]))[:MOST_TRIED]:
        row, column = rows[at[0]], columns[at[1]]
        for how, rounding, between in _roundings(images)[: None if domain.is_whole else 1]:
            function = _function(images, row, column, domain.before, domain.is_limited, rounding, between)
            if images.explains(function(images.pixels), terms):
                return Prepared(_words(row, column, domain.before, how), function, terms=terms)
    return None


def _some(ways: list[Way], places: Array, size: int) -> Array:
    """(ways and one without a change, places, size): these rows of the ways' matrices."""
    return np.stack([*(way.then[places] @ way.first for way in ways), np.eye(size)[places]])


def _function(
    images: Images, row: Way | None, column: Way | None, before: bool, limited: bool, rounding: Round, between: bool
) -> Callable[[Array], Array]:
    def resample(x: Array) -> Array:
        for stage in ("first", "then"):
            for way, along_columns in ((column, False), (row, True)):
                if way is None:
                    continue
                matrix = getattr(way, stage)
                matrix = np.rint(matrix * 2**BITS) / 2**BITS if between else matrix
                x = matrix @ x if along_columns else x @ matrix.T
                if between or along_columns or row is None:
                    x = rounding(x)
                    x = np.clip(x, 0, WHITE) if limited else x
        return x

    if before:
        return images.before(resample)
    return lambda pixels: resample(images.right.apply(pixels))


def _words(row: Way | None, column: Way | None, before: bool, how: str) -> str:
    if row is not None and column is not None and row.words == column.words:
        parts = [f"along rows and columns, {row.words}"]
    else:
        ways = {"along the columns": row, "along the rows": column}
        parts = [f"{where}, {way.words}" for where, way in ways.items() if way is not None]
    if not before:
        parts.append("after the normalization")
    return "; ".join(["the image is resampled: " + parts[0], *parts[1:], *filter(None, [how])])
