"""Pixels read at other places of the memory: with other strides, or from memory in another layout.

The numbers of a row of the port's images are looked for in the memory. The places of a few rows give the strides along
images, channels, rows and columns, which then have to give all other numbers.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice, product

import numpy as np

from npswin.types import Array
from npswin.verify.mistakes.normalization import Affine, usual_affines
from npswin.verify.mistakes.pixels.layouts import memories, reading_words
from npswin.verify.mistakes.pixels.prepared import MARGIN, WHITE, Images, Prepared, are_integers

COMPARED = 8  # numbers of a row that are looked for
MOST_HITS = 6  # places of a row that are tried
MOST_ENTRIES = 8  # along an axis, of which one at few places is chosen
MOST_STRIDES = 200  # combinations that are tried
SAMPLED = 512  # numbers that are compared first
FACTOR = 1_000_003  # of a hash of numbers side by side
KEPT_BITS = 44  # of a number, in its hash
BEYOND: dict[str, Callable[[Array, int], Array]] = {
    "outside of the memory there is 0": lambda places, size: np.where((places >= 0) & (places < size), places, size),
    "it begins again after the memory's end": lambda places, size: places % size,
    "outside of the memory its last or first number is read": lambda places, size: np.clip(places, 0, size - 1),
}


def read_elsewhere(images: Images) -> Iterator[Prepared]:
    """The memory read with other strides, the pixels' before their normalization or the normalized numbers'."""
    if images.found.size < 4 * COMPARED or not are_integers(images.pixels, 0.0):
        return
    affine = _affine(images)
    if affine is not None:
        undone = (images.found - affine.offset[:, None, None]) / affine.scale[:, None, None]
        for words, places in _readings(images.pixels, np.rint(undone) + 0.0):  # no number is -0
            others = f"; {affine.words}" if affine.words != images.right.words else ""
            yield Prepared(words + others, partial(_read_then_normalized, affine, places))
            return
        return
    known = np.unique(np.append(images.normalized, 0.0))
    known = known[np.diff(known, prepend=-np.inf) > 2 * images.tolerance]
    own, theirs = (_nearest(known, array) for array in (images.normalized, images.found))
    if np.abs(theirs - images.found).max() > MARGIN * images.tolerance:
        return
    right = images.right
    for words, places in _readings(own, theirs):
        yield Prepared(f"{words}; this is done after the normalization", partial(_normalized_then_read, right, places))
        return


def _nearest(known: Array, array: Array) -> Array:
    """For each number the nearest of some ordered ones."""
    above = np.clip(np.searchsorted(known, array), 1, len(known) - 1)
    low, high = known[above - 1], known[above]
    return np.where(array - low < high - array, low, high)


def _affine(images: Images) -> Affine | None:
    """The key's normalization, or another usual one, of which the port's numbers are pixels."""
    for affine in (images.right, *usual_affines(len(images.mean), {"the key's": (images.mean, images.std)})):
        undone = (images.found - affine.offset[:, None, None]) / affine.scale[:, None, None]
        if are_integers(undone, MARGIN * images.tolerance / float(affine.scale.min())):
            return affine
    return None


def _taken(array: Array, places: Array) -> Array:
    """The numbers at places of the flattened array, a 0 and a 255."""
    return np.append(np.asarray(array, np.float64).reshape(-1), (0.0, WHITE))[places]


def _read_then_normalized(affine: Affine, places: Array, pixels: Array) -> Array:
    return affine.apply(_taken(pixels, places))


def _normalized_then_read(affine: Affine, places: Array, pixels: Array) -> Array:
    return _taken(affine.apply(np.asarray(pixels, np.float64)), places)


def _readings(values: Array, wanted: Array) -> Iterator[tuple[str, Array]]:
    """In words, and the place of each number of `wanted` (B, c, H, W) among `values`, as for `_taken`."""
    shape = values.shape
    for memory in memories(shape):
        numbers = _taken(values, memory.places)
        steps = (1, shape[1], -1, -shape[1], shape[3], shape[2], 2, 4, shape[1] * shape[3], shape[1] * shape[2])
        for step in dict.fromkeys(steps):
            for start, strides in _strides(numbers, wanted, step):
                inside = (start + np.tensordot(strides, np.indices(shape), 1)).astype(np.int64)
                leaves = bool((inside < 0).any() or (inside >= len(numbers)).any())
                for words, bound in BEYOND.items():
                    there = bound(inside, len(numbers))
                    if np.array_equal(np.append(numbers, 0.0)[there], wanted):
                        read = reading_words(memory, start, strides, shape)
                        yield read + f"; {words}" * leaves, np.append(memory.places, values.size)[there]
                        return


def _strides(numbers: Array, wanted: Array, step: int) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Starts and strides that give some of the wanted numbers (B, c, H, W), with this stride along a row."""
    find = _finder(numbers, step, min(COMPARED, wanted.shape[3]))
    chosen = np.random.default_rng(0).integers(0, wanted.size, SAMPLED)
    index = np.stack(np.unravel_index(chosen, wanted.shape))
    sample = wanted.reshape(-1)[chosen]
    for anchor in ((0, 0, 0), tuple(size - 1 for size in wanted.shape[:3])):  # the first or the last row of all
        for start, others in islice(_reaching(wanted, anchor, find), MOST_STRIDES):
            strides = (*others, step)
            places = start + np.array(strides) @ index
            inside = (places >= 0) & (places < len(numbers))
            if inside.mean() > 0.5 and (numbers[places[inside]] == sample[inside]).all():
                yield start, strides


def _reaching(
    wanted: Array, anchor: tuple[int, ...], find: Callable[[Array], Array]
) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Starts, and strides of images, channels and rows, that lead to the places of a row and of others beside it."""
    starts = find(wanted[anchor])
    along = [_along(wanted, axis, anchor, starts, find) for axis in range(3)] if len(starts) else []
    for place in starts:
        for strides in product(*(found[int(place)] for found in along)):
            yield int(place) - sum(at * stride for at, stride in zip(anchor, strides, strict=True)), strides


def _finder(numbers: Array, step: int, length: int) -> Callable[[Array], Array]:
    """A function that finds the places from which on a row's first numbers lie in memory, so far apart."""
    reach = (length - 1) * step
    count, first = len(numbers) - abs(reach), max(0, -reach)
    if count < 1 or length < 2:
        return lambda _: np.zeros(0, int)
    bits = _bits(numbers)
    hashes = np.zeros(count, np.uint64)
    for place in range(length):
        hashes = hashes * np.uint64(FACTOR) + bits[first + place * step :][:count]

    def find(row: Array) -> Array:
        code = 0
        for value in _bits(row[:length]):
            code = (code * FACTOR + int(value)) % 2**64
        return np.flatnonzero(hashes == np.uint64(code))[:MOST_HITS] + first

    return find


def _bits(numbers: Array) -> Array:
    return np.ascontiguousarray(numbers, np.float64).view(np.uint64) >> np.uint64(64 - KEPT_BITS)


def _along(
    wanted: Array, axis: int, anchor: tuple[int, ...], starts: Array, find: Callable[[Array], Array]
) -> dict[int, list[int]]:
    """By the anchor's place the strides along an axis that some other row allows, one that is at few places."""
    size = wanted.shape[axis]
    if size == 1:
        return {int(start): [0] for start in starts}
    best: tuple[int, Array] | None = None
    for away in range(1, min(size, MOST_ENTRIES)):
        away = -away if anchor[axis] else away
        row = wanted[tuple(at + away * (axis == other) for other, at in enumerate(anchor))]
        found = find(row)
        if len(found) and (best is None or len(found) < len(best[1])):
            best = away, found
    if best is None:
        return {int(start): [] for start in starts}
    away, found = best
    return {int(start): [int(gap) // away for gap in found - start if gap % away == 0] for start in starts}
