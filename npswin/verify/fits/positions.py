"""The positions in an array from which another array's numbers come: axes split, permuted, joined, flipped, repeated.

Two families of maps from an index of the found array to one of the right array are fitted:

- *along each axis by itself*: index i of an axis is index f(i) of the same axis, for any f. This includes a roll, a
  flip, a permutation of heads or images, and one part in place of all others.
- *nested loops*: the found array's memory visits the right one's in loops, each with a stride. This includes axes that
  are permuted, joined or split otherwise, and memory that is read as another shape.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from npswin.types import Array
from npswin.verify.fits.words import ANY_ENTRIES, ANY_ORDER, Axis, join, other_words_along, words_along
from npswin.verify.fits.words_of_memory import words_of_memory

FEWEST_NUMBERS = 8  # an array of fewer numbers may equal another one's by chance
MOST_NUMBERS = 2**22  # larger arrays are not searched
FEWEST_DISTINCT = 0.2  # share of distinct numbers that identify positions
MOST_LOOPS = 12
MOST_MOVED = 2**18  # numbers of an array that may be moved along two axes
FARTHEST = 3  # entries by which a map is moved
PROJECTIONS = 4  # numbers by which slices are compared
MOST_COMPARED = 2**18  # numbers of slices that are compared at a time


@dataclass(frozen=True)
class Placement:
    """Where each number of the found array comes from.

    Attributes:
        positions: flat indices in the right array, of the found array's shape.
        words: how the found array follows from the right one.
        also: other words that fit as well.
        arbitrary: how many entries have places without a rule.
        is_permutation: whether every number is there once, so that it can be undone.
    """

    positions: Array
    words: str
    arbitrary: int = 0
    also: tuple[str, ...] = ()

    @property
    def is_permutation(self) -> bool:
        """Whether every number of the right array is there once."""
        flat = self.positions.reshape(-1)
        return bool(np.array_equal(np.sort(flat), np.arange(flat.size)))


def find_placement(found: Array, right: Array, axes: Sequence[Sequence[Axis]], tolerance: float) -> Placement | None:
    """The map that takes the right array's numbers to their places in the found one; None where there is none.

    Args:
        found, right: arrays of one shape.
        axes: for each axis of that shape its parts, in order.
        tolerance: the largest difference of two numbers that are the same.
    """
    if found.shape != right.shape or not FEWEST_NUMBERS <= found.size <= MOST_NUMBERS:
        return None
    if not (np.isfinite(found).all() and np.isfinite(right).all()) or _are_close(found, right, tolerance):
        return None
    if np.ptp(right) <= 4 * tolerance:
        return None
    parts = [part for axis in axes for part in axis]
    placement = _along_axes(found, right, parts, tolerance)
    if placement is None:
        in_loops = _in_loops(found, right, axes, tolerance)
        if in_loops is not None and in_loops.is_permutation:
            return in_loops
        moved = _moved(found, right, parts, tolerance)
        if moved is not None:
            return moved
        candidates = [[join(axis) for axis in axes], *_neighbours_joined(parts)]
        along = (_along_axes(found, right, each, tolerance) for each in candidates)
        placement = next((each for each in along if each is not None), in_loops)
    return placement


def _neighbours_joined(parts: Sequence[Axis]) -> list[list[Axis]]:
    """The parts with two neighbouring ones as one axis, such as rows and columns as a list of tokens."""
    return [
        [*parts[:place], join(parts[place : place + 2]), *parts[place + 2 :]]
        for place in range(len(parts) - 1)
        if parts[place].size > 1 and parts[place + 1].size > 1
    ]


def _moved(found: Array, right: Array, parts: Sequence[Axis], tolerance: float) -> Placement | None:
    """Moved by a few entries along two neighbouring axes; what comes in is 0, or the numbers at the edge."""
    split = [part.size for part in parts]
    positions = np.arange(found.size).reshape(split)
    for place in range(len(parts) - 1) if found.size <= MOST_MOVED else ():
        reach = [min(FARTHEST, (size - 1) // 2) for size in split[place : place + 2]]
        for down in range(-reach[0], reach[0] + 1):
            for across in range(-reach[1], reach[1] + 1):
                for fill, source in _filled(positions, place, (down, across)):
                    values = np.where(source < 0, 0.0, right.reshape(-1)[source]).reshape(found.shape)
                    if (down or across) and _are_close(found, values, tolerance):
                        names = parts[place].name, parts[place + 1].name
                        words = f"it is moved by ({down}, {across}) along ({', '.join(names)}), {fill} come in"
                        return Placement(source.reshape(found.shape), words)
    return None


def _filled(positions: Array, place: int, by: tuple[int, int]) -> list[tuple[str, Array]]:
    """Positions moved along two axes, with -1 or those of the edge where nothing is."""
    indices = [np.arange(size) - step for size, step in zip(positions.shape[place : place + 2], by, strict=True)]
    clipped = [np.clip(index, 0, size - 1) for index, size in zip(indices, positions.shape[place:], strict=False)]
    edge = positions.take(clipped[0], place).take(clipped[1], place + 1)
    inside = [(index == each).astype(int) for index, each in zip(indices, clipped, strict=True)]
    shape = [1] * positions.ndim
    shape[place], shape[place + 1] = len(inside[0]), len(inside[1])
    is_inside = (inside[0][:, None] * inside[1][None, :]).reshape(shape)
    return [("zeros", np.where(is_inside, edge, -1)), ("the numbers at the edge", edge)]


def _are_close(found: Array, right: Array, tolerance: float) -> bool:
    return bool(np.abs(found - right).max(initial=0) <= tolerance)


def _along_axes(found: Array, right: Array, parts: Sequence[Axis], tolerance: float) -> Placement | None:
    """A map along each axis by itself: one axis alone first, then several that are permuted."""
    split, shape = [part.size for part in parts], found.shape
    found, right = found.reshape(split), right.reshape(split)
    for axis in range(found.ndim):
        source = _matching_slices(found, right, axis, False, tolerance)
        if source is not None and _are_close(found, _taken(right, source, axis), tolerance):
            return _placement({axis: source}, parts, shape)
    sources = {}
    moved = right
    for axis in range(found.ndim):
        source = _matching_slices(found, right, axis, True, tolerance)
        if source is None:
            return None
        if not np.array_equal(source, np.arange(found.shape[axis])):
            sources[axis] = source
            moved = moved.take(source, axis)
    return _placement(sources, parts, shape) if sources and _are_close(found, moved, tolerance) else None


def _matching_slices(found: Array, right: Array, axis: int, sort: bool, tolerance: float) -> Array | None:
    """For each slice along an axis the slice of the right array with the same numbers, in any order if `sort`."""
    if found.shape[axis] < 2:
        return np.arange(found.shape[axis]) if sort else None
    one, other = (np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1) for array in (found, right))
    if sort:
        one, other = np.sort(one, axis=1), np.sort(other, axis=1)
    weights = np.random.default_rng(0).standard_normal((one.shape[1], PROJECTIONS))
    projected, candidates = one @ weights, other @ weights
    limit = 8 * tolerance * math.sqrt(one.shape[1])
    is_zero = np.abs(one).max(axis=1) <= tolerance
    if is_zero.any() and (sort or is_zero.all()):
        return None
    nearest = np.zeros(len(one), np.int64)
    rows = max(1, MOST_COMPARED // candidates.size)  # at a time: an axis may have many slices, and few are enough
    for part in (slice(start, start + rows) for start in range(0, len(one), rows)):
        distances = np.abs(projected[part, None] - candidates[None]).max(axis=2)
        nearest[part] = distances.argmin(axis=1)
        if ((distances.min(axis=1) > limit) & ~is_zero[part]).any():
            return None
    # where a slice equals its own place as well, it has not moved
    stays = np.abs(projected - candidates).max(axis=1) <= limit
    moved = np.where(stays, np.arange(len(nearest)), nearest)
    if np.array_equal(np.sort(moved), np.arange(len(nearest))):  # what is 0 may be so in the right array, elsewhere
        return moved
    return np.where(stays, moved, np.where(is_zero, -1, nearest))


def _taken(array: Array, source: Array, axis: int) -> Array:
    """The entries along an axis; zeros for -1."""
    shape = [-1 if place == axis else 1 for place in range(array.ndim)]
    return np.where((source < 0).reshape(shape), 0.0, array.take(np.maximum(source, 0), axis))


def _placement(sources: dict[int, Array], parts: Sequence[Axis], shape: tuple[int, ...]) -> Placement:
    split = [part.size for part in parts]
    positions = np.arange(math.prod(split)).reshape(split)
    words, arbitrary = [], 0
    for axis, source in sources.items():
        kept = (source >= 0).reshape([-1 if place == axis else 1 for place in range(positions.ndim)])
        positions = np.where(kept, positions.take(np.maximum(source, 0), axis), -1)
        words.append(words_along(parts[axis], source))
        arbitrary += len(source) if ANY_ORDER in words[-1] or ANY_ENTRIES in words[-1] else 0
    also = tuple(other_words_along(parts[axis], source)) if len(sources) == 1 else ()
    return Placement(positions.reshape(shape), "; ".join(words), arbitrary, also)


def _in_loops(found: Array, right: Array, axes: Sequence[Sequence[Axis]], tolerance: float) -> Placement | None:
    """Nested loops over the right array's memory that give the found array's memory."""
    positions = _unique_positions(found.reshape(-1), right.reshape(-1), tolerance)
    loops = None if positions is None else _nested_loops(positions)
    if positions is None or loops is None:
        return None
    known = int(np.flatnonzero(positions >= 0)[0])
    offsets = np.zeros(1, np.int64)
    for count, stride in loops:
        offsets = (np.arange(count)[:, None] * stride + offsets).reshape(-1)
    mapped = (offsets + positions[known] - offsets[known]).reshape(found.shape)
    if mapped.min() < 0 or mapped.max() >= right.size:
        return None
    if not _are_close(found, right.reshape(-1)[mapped], tolerance):
        return None
    return Placement(mapped, words_of_memory(mapped.reshape(-1), loops, axes))


def _nested_loops(positions: Array) -> list[tuple[int, int]] | None:
    """Counts and strides of loops, the innermost first, that visit these positions; -1 is an unknown one."""
    loops: list[tuple[int, int]] = []
    while len(positions) > 1:
        known = (positions[1:] >= 0) & (positions[:-1] >= 0)
        steps = np.diff(positions)
        values, counts = np.unique(steps[known], return_counts=True)
        if not len(values):
            return None
        stride = int(values[counts.argmax()])
        breaks = np.flatnonzero(known & (steps != stride)) + 1
        count = math.gcd(len(positions), *breaks.tolist())
        if count == 1 or len(loops) > MOST_LOOPS:
            return None
        loops.append((count, stride))
        rows = positions.reshape(-1, count)
        first = np.where(rows >= 0, rows - stride * np.arange(count), -1).max(axis=1)
        positions = first
    return loops


def _unique_positions(found: Array, right: Array, tolerance: float) -> Array | None:
    """For each number its position in the right array, -1 where none or several are as near."""
    order = np.argsort(right)
    ordered = right[order]
    gaps = np.diff(ordered, prepend=-np.inf, append=np.inf)
    alone = np.minimum(gaps[:-1], gaps[1:]) > 2 * tolerance
    place = np.clip(np.searchsorted(ordered, found), 1, len(ordered) - 1)
    place = np.where(np.abs(ordered[place - 1] - found) < np.abs(ordered[place] - found), place - 1, place)
    known = alone[place] & (np.abs(ordered[place] - found) <= tolerance)
    if known.mean() < FEWEST_DISTINCT or (np.abs(ordered[place] - found) > tolerance).any():
        return None
    return np.where(known, order[place], -1)
