"""Images that are sums: of several images, of an image and its mirror images, of neighbouring pixels."""

from collections.abc import Iterator

import numpy as np

from npswin.types import Array
from npswin.verify.fits.factors import decimal
from npswin.verify.mistakes.arrangements import arrangements
from npswin.verify.mistakes.pixels.prepared import Images, Prepared

FEWEST = 8  # pixels for each weight
SAMPLED = 4096  # pixels from which weights are fitted
SMALL = 1e-4  # a weight nearer to a simple number is that number
LISTED = 4
MOST_IMAGES = 64
TERMS = 32
EDGES = {"the edge repeated": "edge", "the image mirrored at the edge": "reflect", "black around it": "constant"}
SIDES = (3, 5)  # of a kernel


def sums_of_images(images: Images) -> Iterator[Prepared]:
    """Each image is a sum of the batch's images, such as two of them blended."""
    count = len(images.pixels)
    for before in (False, True):
        x, wanted = (images.pixels, images.undone) if before else (images.normalized, images.found)
        rows = x.reshape(count, -1).T
        if not 1 < count <= MOST_IMAGES or len(rows) < FEWEST * count:
            return
        weights = _fitted(rows, wanted.reshape(count, -1).T)
        if weights is None:
            continue
        weights = weights.T

        def blend(pixels: Array, weights: Array = weights) -> Array:
            return np.tensordot(weights, pixels, 1)

        function = images.before(blend) if before else lambda pixels: blend(images.right.apply(pixels))
        if images.explains(function(images.pixels), TERMS):
            changed = [place for place, row in enumerate(weights) if not _is_one_hot(row, place)]
            listed = [f"image {place} is {_sum_words(weights[place], 'image {}')}" for place in changed[:LISTED]]
            words = "; ".join(listed) + "; ..." * (len(changed) > LISTED)
            odd = np.unique(np.round(weights[np.abs(weights - np.rint(weights)) > SMALL], 6))
            yield Prepared(words, function, len(odd), TERMS)
            return


def sums_of_arrangements(images: Images) -> Iterator[Prepared]:
    """Each image is a sum of itself and its mirror images or other arrangements, such as their mean."""
    some = [one for one in arrangements(images.pixels.shape, moved=False) if not one.mixes_channels]
    places = _sample(images.pixels.size)
    columns = np.stack([one.apply(images.normalized).reshape(-1)[places] for one in some], axis=1)
    weights = _fitted(columns, images.found.reshape(-1)[places])
    if weights is None or np.count_nonzero(weights) < 2:
        return
    used = [(weight, one) for weight, one in zip(weights, some, strict=True) if weight]

    def mean(pixels: Array) -> Array:
        x = images.right.apply(np.asarray(pixels, np.float64))
        return np.asarray(sum(weight * one.apply(x) for weight, one in used))

    if images.explains(mean(images.pixels), TERMS):
        named = [f"{weight:.4g} × {one.words.removeprefix('the image ') or 'itself'}" for weight, one in used]
        words = "the image is a sum: " + " + ".join(name.replace("is ", "").replace("'s ", "") for name in named)
        yield Prepared(words, mean, 0, TERMS)


def sums_of_neighbours(images: Images) -> Iterator[Prepared]:
    """Each pixel is a sum of its neighbours: blurred, sharpened, an edge."""
    height, width = images.pixels.shape[2:]
    undone = images.undone
    for side in SIDES:
        reach = side // 2
        if min(height, width) <= 2 * side:
            return
        inner = undone[:, :, reach : height - reach, reach : width - reach]
        places = _sample(inner.size)
        offsets = [(row, column) for row in range(side) for column in range(side)]
        columns = np.stack(
            [
                images.pixels[:, :, row : row + inner.shape[2], column : column + inner.shape[3]].reshape(-1)[places]
                for row, column in offsets
            ],
            axis=1,
        )
        weights = _fitted(columns, inner.reshape(-1)[places])
        if weights is None or np.count_nonzero(weights) < 2:
            continue
        kernel = weights.reshape(side, side)
        for edge, mode in EDGES.items():

            def convolve(x: Array, mode: str = mode, kernel: Array = kernel, reach: int = reach) -> Array:
                padded = np.pad(x, ((0, 0), (0, 0), (reach, reach), (reach, reach)), mode=mode)  # type: ignore[call-overload]
                parts = [
                    weight * padded[:, :, row : row + x.shape[2], column : column + x.shape[3]]
                    for (row, column), weight in np.ndenumerate(kernel)
                ]
                return np.asarray(sum(parts))

            function = images.before(convolve)
            if images.explains(function(images.pixels), TERMS):
                rows = "; ".join(", ".join(f"{weight:.4g}" for weight in row) for row in kernel)
                words = f"each pixel is a sum of its {side} × {side} neighbours, with weights {rows}; {edge}"
                yield Prepared(words, function, kernel.size, TERMS)
                return


def _sample(size: int) -> Array:
    return np.random.default_rng(0).permutation(size)[:SAMPLED]


def _fitted(columns: Array, wanted: Array) -> Array | None:
    """Weights of columns whose sum is wanted, simple numbers where they are near; None where they do not fit."""
    if len(columns) < FEWEST * columns.shape[1]:
        return None
    weights, _, rank, _ = np.linalg.lstsq(columns, wanted, rcond=None)
    left = np.abs(columns @ weights - wanted).max()
    if rank < columns.shape[1] or left > 1e-3 * max(float(np.std(wanted)), 1e-300):
        return None
    simple = np.round(weights * 360) / 360
    return np.where(np.abs(simple - weights) < SMALL, simple, weights) + 0.0  # no weight is -0


def _is_one_hot(row: Array, place: int) -> bool:
    return bool(row[place] == 1 and np.count_nonzero(row) == 1)


def _sum_words(row: Array, name: str) -> str:
    there = np.flatnonzero(np.abs(row) > SMALL)
    if len(there) == 1 and row[there[0]] == 1:
        return name.format(there[0])
    parts = [f"{decimal(float(row[place]), SMALL)} × {name.format(place)}" for place in there[:LISTED]]
    return " + ".join(parts) + " + ..." * (len(there) > LISTED)
