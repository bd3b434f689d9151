"""Images that were resized, cropped, padded or blurred: a matrix along the rows and one along the columns.

Of each pair of ways a few pixels are computed first; those that give them are tried on all.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np

from npswin.types import Array
from npswin.verify.fits.resampling import Way, groups_of_ways
from npswin.verify.mistakes.pixels.prepared import MARGIN, WHITE, Images, Prepared, are_integers

SEEN = 2  # images' channels of which some pixels are computed first
SLACK = 1.6  # of pixels that were rounded, perhaps several times
TERMS = 4  # times the square of a side: a place between two pixels is as inexact as its number is large
MOST_TRIED = 3  # pairs of each group that are tried on all pixels
BITS = 22  # of Pillow's weights
Round = Callable[[Array], Array]


def _roundings(images: Images) -> list[tuple[str, Round, bool]]:
    """In words, the rounding, and whether it is done also between columns and rows."""
    return [
        ("", lambda x: x, False),
        ("rounded to integers", images.rounded, False),
        ("rounded to integers after each axis, as Pillow does it", lambda x: np.floor(x + 0.5), True),
        ("cut to integers", lambda x: np.trunc(np.round(x, 9)), False),
    ]


def resized(images: Images) -> Iterator[Prepared]:
    """Ways along both axes that give the port's images; at most one."""
    for before in (True, False):
        x, wanted = (images.pixels, images.undone) if before else (images.normalized, images.found)
        found = _search(images, x, wanted, before)
        if found is not None:
            yield found
            return


def _search(images: Images, x: Array, wanted: Array, before: bool) -> Prepared | None:
    height, width = x.shape[2:]
    rows, columns = (sorted({0, size // 3, size // 2, size - 1}) for size in (height, width))
    flat, target = x.reshape(-1, height, width)[:SEEN], wanted.reshape(-1, height, width)[:SEEN]
    target = target[:, rows][:, :, columns]
    tolerance = images.pixel_tolerance if before else MARGIN * images.tolerance
    whole = before and are_integers(wanted, tolerance)
    limited = before and wanted.min() >= -tolerance and wanted.max() <= WHITE + tolerance
    terms = TERMS * max(height, width) ** 2
    slack = SLACK if whole else tolerance * math.sqrt(terms)
    groups = list(groups_of_ways(height)) if height == width else None
    pairs = (
        ((one, one) for one in groups) if groups else zip(groups_of_ways(height), groups_of_ways(width), strict=False)
    )
    for (name, of_rows), (_, of_columns) in pairs:
        if not before and "zeros" not in name and "at its end" not in name:
            continue
        left, right = _some(of_rows, rows, height), _some(of_columns, columns, width)
        along_rows = flat @ right.reshape(-1, width).T
        far = np.full((len(left), len(right)), np.inf)
        for between in (along_rows, np.clip(along_rows, 0, WHITE))[: 1 + whole]:
            made = (left.reshape(-1, height) @ between).reshape(len(flat), len(left), len(rows), len(right), -1)
            made = np.clip(made, 0, WHITE) if limited else made
            far = np.minimum(far, np.abs(made - target[:, None, :, None, :]).max((0, 2, 4)))
        far[-1, -1] = np.inf  # unchanged along both axes
        near = np.argwhere(far <= slack)
        for place in sorted(near, key=lambda place: (abs(place[0] - place[1]), far[tuple(place)]))[:MOST_TRIED]:
            row = [*of_rows, None][place[0]]
            column = [*of_columns, None][place[1]]
            for how, rounding, between in _roundings(images)[: None if whole else 1]:
                function = _function(images, row, column, before, limited, rounding, between)
                if images.agrees(function(images.pixels), terms):
                    return Prepared(_words(row, column, before, how), function, terms=terms)
    return None


def _some(ways: list[Way], places: list[int], size: int) -> Array:
    """(ways and one without a change, places, size): these rows of the ways' matrices."""
    return np.stack([*(way.then[places] @ way.first for way in ways), np.eye(size)[places]])


def _function(
    images: Images, row: Way | None, column: Way | None, before: bool, limited: bool, rounding: Round, between: bool
) -> Callable[[Array], Array]:
    def resample(x: Array) -> Array:
        stages = [("first", x), ("then", x)]
        for stage, _ in stages:
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
