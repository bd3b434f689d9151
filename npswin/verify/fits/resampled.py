"""Grids of numbers that were resampled: to another size and back, or from a smaller size in another way.

A bias table or a position embedding is resampled where a window or an image has another size than in training. The
methods are those of torch.nn.functional.interpolate; each is a matrix along an axis, so that what it does to a grid is
linear in the grid's numbers.
"""

import math
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import pairwise, product
from typing import NamedTuple

import numpy as np

from npswin.ops.resize import bicubic_matrix, cubic_matrix
from npswin.types import Array
from npswin.verify.fits.explanation import Evidence, Explanation, Pair, replaced_by
from npswin.verify.fits.words import Axis

Matrix = Callable[[int, int], Array]  # (size out, size in) -> (size out, size in)

FEWEST, MOST = 3, 64  # entries along an axis
TERMS = 4  # times the square of the entries along an axis: a place between two is as inexact as its number is large
ROUNDINGS = 4.0  # times the tolerance, which is that of a single rounding
MOST_OF_A_LIST = 1024  # entries of a grid that is resampled as a list
LARGEST = 2.0  # times an axis's size, plus a few, to which it may have been resized
LARGEST_SHARE = 0.75  # of the grid's numbers that an unknown smaller grid may have


def _centres(size_out: int, size_in: int, aligned: bool) -> Array:
    """Where the outputs lie between the inputs: the corners' centres on each other, or the corners themselves."""
    if aligned:
        return np.arange(size_out) * ((size_in - 1) / max(size_out - 1, 1))
    return (np.arange(size_out) + 0.5) * (size_in / size_out) - 0.5


def taken_at(places: Array, size_in: int) -> Array:
    """The matrix that takes one input for each output."""
    return np.eye(size_in)[np.clip(places.astype(int), 0, size_in - 1)]


def linear_matrix(size_out: int, size_in: int, aligned: bool) -> Array:
    """Linear between the two nearest inputs."""
    centre = np.clip(_centres(size_out, size_in, aligned), 0, size_in - 1)
    share = (centre - np.floor(centre))[:, None]
    return (1 - share) * taken_at(np.floor(centre), size_in) + share * taken_at(np.floor(centre) + 1, size_in)


def smoothed_matrix(size_out: int, size_in: int) -> Array:
    """Linear, with a triangle as wide as an output where the grid becomes smaller, against aliasing."""
    scale = size_in / size_out
    centre, width = (np.arange(size_out) + 0.5) * scale, max(scale, 1.0)
    weights = np.maximum(0, 1 - np.abs(np.arange(size_in) + 0.5 - centre[:, None]) / width)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def nearest_matrix(size_out: int, size_in: int) -> Array:
    """Each output is the input at the whole part of its place."""
    return taken_at(np.arange(size_out) * size_in // size_out, size_in)


def mean_matrix(size_out: int, size_in: int) -> Array:
    """Means of the inputs that an output covers, as adaptive average pooling."""
    first = np.arange(size_out) * size_in // size_out
    last = -(-(np.arange(1, size_out + 1) * size_in) // size_out)
    inside = (np.arange(size_in) >= first[:, None]) & (np.arange(size_in) < last[:, None])
    return np.asarray(inside / inside.sum(axis=1, keepdims=True))


METHODS: dict[str, Matrix] = {
    "bicubically": bicubic_matrix,
    "bilinearly": lambda out, size: linear_matrix(out, size, False),
    "bilinearly (align_corners)": lambda out, size: linear_matrix(out, size, True),
    "by nearest neighbours": nearest_matrix,
    "by nearest neighbours (nearest-exact)": lambda out, size: taken_at(
        np.floor((np.arange(out) + 0.5) * size / out), size
    ),
    "bicubically (align_corners)": lambda out, size: cubic_matrix(_centres(out, size, True), size),
    "bilinearly, smoothed": smoothed_matrix,
    "by means (adaptive average pooling)": mean_matrix,
}


class _Grids(NamedTuple):
    """The arrays as grids.

    Attributes:
        found, right: (n, H, W); with W = 1, the grid's numbers as a list.
        sizes: other sizes (H', W') that such a grid may have had.
    """

    found: Array
    right: Array
    sizes: list[tuple[int, int]]


def resampled(evidence: Evidence) -> Iterator[Explanation]:
    """A grid of rows and columns that was resampled; the simplest way first."""
    parts = [part for axis in evidence.axes for part in axis]
    for place, (rows, columns) in enumerate(pairwise(parts)):
        if not (rows.name.endswith("row") and columns.name.endswith("column")):
            continue
        if not FEWEST <= min(rows.size, columns.size) <= max(rows.size, columns.size) <= MOST:
            continue
        before, after = (math.prod(part.size for part in some) for some in (parts[:place], parts[place + 2 :]))
        for sizes, as_list in _views(rows, columns):
            own = (rows.size * columns.size, 1) if as_list else (rows.size, columns.size)
            shape = (before, *own, after)
            grids = _Grids(_as_grids(evidence.found, shape), _as_grids(evidence.right, shape), sizes)
            for way in (_there_and_back, _enlarged_and_cut, _in_another_way, _from_a_smaller_grid):
                explanation = way(grids, shape, evidence.tolerance)
                if explanation is not None:
                    yield explanation
                    return


def _views(rows: Axis, columns: Axis) -> Iterator[tuple[list[tuple[int, int]], bool]]:
    """Sizes from which a grid may come, as a grid and as a list. Offsets within a window are an odd number."""
    step = 2 if rows.name.startswith("offset") else 1
    sides = range(2 - rows.size % step if step == 2 else 2, int(LARGEST * rows.size) + 5, step)
    pairs = [(side, side * columns.size // rows.size) for side in sides if side * columns.size % rows.size == 0]
    pairs = [pair for pair in pairs if pair != (rows.size, columns.size) and min(pair) > 0]
    yield pairs, False
    if rows.size * columns.size <= MOST_OF_A_LIST:
        yield [(height * width, 1) for height, width in pairs if height * width <= MOST_OF_A_LIST], True


def _as_grids(array: Array, shape: tuple[int, int, int, int]) -> Array:
    return np.moveaxis(array.reshape(shape), 3, 1).reshape(-1, *shape[1:3])


def _there_and_back(grids: _Grids, shape: tuple[int, int, int, int], tolerance: float) -> Explanation | None:
    """Resized to another size and back by one method."""
    for size, words in product(grids.sizes, METHODS):
        down, up = _matrices(words, size, shape[1:3]), _matrices(words, shape[1:3], size)
        both = up[0] @ down[0], up[1] @ down[1]
        if _agree(grids.found, grids.right, both, tolerance):
            text = f"it is resized to {_size_words(size)} and back, {words}"
            return Explanation(text, _of_grids(both, shape), terms=_terms(shape, size))
    return None


def _enlarged_and_cut(grids: _Grids, shape: tuple[int, int, int, int], tolerance: float) -> Explanation | None:
    """Resized to a larger size, of which the centre or the first corner is used."""
    own = shape[1:3]
    larger = [size for size in grids.sizes if min(size) > min(own) and 1 not in own]
    for size, words in product(larger, METHODS):
        up = _matrices(words, size, own)
        margins = [(more - side) // 2 for more, side in zip(size, own, strict=True)]
        for part, starts in (("centre", margins), ("first corner", [0, 0])):
            cut = [each[start : start + side] for each, start, side in zip(up, starts, own, strict=True)]
            both = cut[0], cut[1]
            if _agree(grids.found, grids.right, both, tolerance):
                text = f"it is resized {words} to {_size_words(size)}, of which the {part} is taken"
                return Explanation(text, _of_grids(both, shape), terms=_terms(shape, size))
    return None


def _in_another_way(grids: _Grids, shape: tuple[int, int, int, int], tolerance: float) -> Explanation | None:
    """The right grid comes from a smaller one by one method, the found one from the same by another."""
    for size, words in product(grids.sizes, METHODS):
        if math.prod(size) > LARGEST_SHARE * math.prod(shape[1:3]):
            continue
        right, back = _matrices(words, shape[1:3], size), _inverses(words, shape[1:3], size)
        if not _agree(grids.right, grids.right, (right[0] @ back[0], right[1] @ back[1]), tolerance):
            continue
        for other in METHODS:
            found = _matrices(other, shape[1:3], size)
            both = found[0] @ back[0], found[1] @ back[1]
            if _agree(grids.found, grids.right, both, tolerance):
                text = f"it is resized from {_size_words(size)} {other}, not {words}"
                return Explanation(text, _of_grids(both, shape), terms=_terms(shape, size))
    return None


def _from_a_smaller_grid(grids: _Grids, shape: tuple[int, int, int, int], tolerance: float) -> Explanation | None:
    """A smaller grid of other numbers, which are fitted."""
    for size, words in product(grids.sizes, METHODS):
        count = math.prod(size)
        if not 1 < count <= LARGEST_SHARE * math.prod(shape[1:3]):
            continue
        up, back = _matrices(words, shape[1:3], size), _inverses(words, shape[1:3], size)
        both = up[0] @ back[0], up[1] @ back[1]
        if _agree(grids.found, grids.found, both, tolerance) and not _agree(grids.right, grids.right, both, tolerance):
            flat = _in_shape(grids.found, shape)
            text = f"it is resized {words} from {_size_words(size)} other numbers"
            return Explanation(text, replaced_by(flat), count * len(grids.found))
    return None


@lru_cache(maxsize=4096)
def _matrix(method: str, size_out: int, size_in: int) -> Array:
    return METHODS[method](size_out, size_in)


@lru_cache(maxsize=4096)
def _inverse(method: str, size_out: int, size_in: int) -> Array:
    return np.asarray(np.linalg.pinv(_matrix(method, size_out, size_in)))


def _matrices(method: str, size_out: tuple[int, ...], size_in: tuple[int, ...]) -> tuple[Array, Array]:
    """The matrices along both axes of a grid."""
    return _matrix(method, size_out[0], size_in[0]), _matrix(method, size_out[1], size_in[1])


def _inverses(method: str, size_out: tuple[int, ...], size_in: tuple[int, ...]) -> tuple[Array, Array]:
    """The pseudo-inverses of `_matrices`."""
    return _inverse(method, size_out[0], size_in[0]), _inverse(method, size_out[1], size_in[1])


def _agree(found: Array, right: Array, matrices: tuple[Array, Array], tolerance: float) -> bool:
    """Whether the found grids are the right ones with matrices along both axes; a single grid is tried first."""
    rows, columns = matrices
    gain = float(np.abs(rows).sum(axis=1).max() * np.abs(columns).sum(axis=1).max())
    reach = ROUNDINGS * tolerance * max(1.0, gain)
    for part in (slice(0, 1), slice(None)):
        if np.abs(rows @ right[part] @ columns.T - found[part]).max() > reach:
            return False
    return True


def _of_grids(matrices: tuple[Array, Array], shape: tuple[int, int, int, int]) -> Pair:
    """The same on the array; the derivative by the transposed matrices."""
    rows, columns = matrices

    def forward(x: Array) -> tuple[Array, object]:
        return np.einsum("oh,bhwa,pw->bopa", rows, x.reshape(shape), columns).reshape(x.shape).astype(x.dtype), None

    def backward(dy: Array, _: object) -> Array:
        return np.einsum("oh,bopa,pw->bhwa", rows, dy.reshape(shape), columns).reshape(dy.shape).astype(dy.dtype)

    return forward, backward


def _terms(shape: tuple[int, ...], size: tuple[int, ...]) -> int:
    return TERMS * max(*shape[1:3], *size) ** 2


def _in_shape(grids: Array, shape: tuple[int, int, int, int]) -> Array:
    return np.moveaxis(grids.reshape(shape[0], shape[3], *shape[1:3]), 1, 3)


def _size_words(size: tuple[int, int]) -> str:
    return f"a list of {size[0]}" if size[1] == 1 else f"{size[0]} × {size[1]}"
