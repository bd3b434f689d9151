"""Pixels read at other places of the memory: with other strides, or from memory whose rows are filled up.

The numbers of a row of the port's images are looked for in the memory. The places of a few rows give the strides along
images, channels, rows and columns, which then have to give all other numbers.
"""

import math
from collections.abc import Callable, Iterator
from itertools import permutations, product
from typing import NamedTuple

import numpy as np

from npswin.types import Array
from npswin.verify.mistakes.normalization import Affine, usual_affines
from npswin.verify.mistakes.pixels.prepared import Images, Prepared, are_integers

AXES = ("B", "channels", "H", "W")
MULTIPLES = (4, 8, 16, 32, 64, 128)  # to which a buffer's rows are filled up
COMPARED = 8  # numbers of a row that are looked for
MOST_HITS = 6  # places of a row that are tried
MOST_ENTRIES = 8  # along an axis, of which one at few places is chosen
MOST_STRIDES = 200  # combinations that are tried
SAMPLED = 512  # numbers that are compared first
FACTOR = 1_000_003  # of a hash of numbers side by side
BEYOND = {
    "": lambda places, size: np.where((places >= 0) & (places < size), places, size),
    "it begins again after the memory's end": lambda places, size: places % size,
    "beyond the memory's end the last number is read": lambda places, size: np.clip(places, 0, size - 1),
}


class _Memory(NamedTuple):
    """Where the key's numbers lie in memory: `places` are their numbers in (B, c, H, W), or their count for a filler.

    `strides` are those of images, channels, rows and columns; `rows` is the length of a row with its filler.
    """

    words: str
    places: Array
    strides: tuple[int, ...]
    rows: int


def read_elsewhere(images: Images) -> Iterator[Prepared]:
    """The memory read with other strides, the pixels' before their normalization or the normalized numbers'."""
    shape = images.pixels.shape
    if images.found.size < 4 * COMPARED or not are_integers(images.pixels, 0.0):
        return
    values, wanted = images.pixels.reshape(-1), np.rint(images.undone) + 0.0  # no number is -0
    right = images.right
    affine: Affine | None = right
    if not are_integers(images.undone, images.pixel_tolerance):
        affine = _other_affine(images)
        if affine is not None:
            wanted = np.rint((images.found - affine.offset[:, None, None]) / affine.scale[:, None, None]) + 0.0
    if affine is not None:
        for words, places in _readings(values, wanted, shape):
            yield Prepared(
                words + (f"; {affine.words}" if affine is not right else ""),
                lambda pixels, affine=affine, places=places: affine.apply(_taken(pixels, places)),
            )
            return
        return
    known = np.unique(np.append(images.normalized, 0.0))  # the numbers are told apart by their rank
    known = known[np.diff(known, prepend=-np.inf) > 2 * images.tolerance]
    ranks = np.abs(_nearest(known, images.found) - images.found)
    if ranks.max() > 8 * images.tolerance:
        return
    own, theirs = (_nearest(known, array) for array in (images.normalized, images.found))
    for words, places in _readings(own.reshape(-1), theirs, shape):
        yield Prepared(
            f"{words}; so are the normalized numbers",
            lambda pixels, places=places: _taken(right.apply(pixels), places),
        )
        return


def _nearest(known: Array, array: Array) -> Array:
    """For each number the nearest of some ordered ones."""
    above = np.clip(np.searchsorted(known, array), 1, len(known) - 1)
    low, high = known[above - 1], known[above]
    return np.where(array - low < high - array, low, high)


def _other_affine(images: Images) -> Affine | None:
    """Another usual normalization of which the port's numbers are pixels."""
    for affine in usual_affines(len(images.mean), {"the key's": (images.mean, images.std)}):
        undone = (images.found - affine.offset[:, None, None]) / affine.scale[:, None, None]
        if are_integers(undone, 8 * images.tolerance / float(affine.scale.min())):
            return affine
    return None


def _taken(array: Array, places: Array) -> Array:
    """The numbers at places of the flattened array; 0 at the place behind its end."""
    return np.append(np.asarray(array, np.float64).reshape(-1), 0.0)[places]


def _readings(values: Array, wanted: Array, shape: tuple[int, ...]) -> Iterator[tuple[str, Array]]:
    """In words, and the place of each number of `wanted` among `values` (N), or N for a 0."""
    flat = np.append(values, 0.0)
    for memory in _memories(shape):
        numbers = flat[memory.places]
        for step in dict.fromkeys((1, shape[1], -1, -shape[1], shape[3], shape[2], 2, 4, shape[1] * shape[3])):
            for start, strides in _strides(numbers, wanted, step):
                inside = start + sum(
                    stride * np.arange(size).reshape([-1 if axis == other else 1 for other in range(4)])
                    for axis, (stride, size) in enumerate(zip(strides, shape, strict=True))
                )
                for end_words, bound in BEYOND.items():
                    there = bound(inside, len(numbers))
                    if np.array_equal(np.append(numbers, 0.0)[there], wanted):
                        places = np.append(memory.places, len(values))[there]
                        leaves = bool((inside < 0).any() or (inside >= len(numbers)).any())
                        words = _words(memory, start, strides, shape)
                        beyond = end_words or "beyond the memory's end there is 0"
                        yield words + (f"; {beyond}" if leaves else ""), places
                        return


def _memories(shape: tuple[int, ...]) -> Iterator[_Memory]:
    """The key's order, the channels last, and both with rows that are filled up."""
    count = math.prod(shape)
    own = np.arange(count).reshape(shape)
    yield _Memory("", own.reshape(-1), _dense(shape, (0, 1, 2, 3)), shape[3])
    yield _Memory(
        "the memory is (B, H, W, channels)", own.transpose(0, 2, 3, 1).reshape(-1), _dense(shape, (0, 2, 3, 1)), 0
    )
    height, channels = shape[2], shape[1]
    for last in (False, True):
        row = shape[3] * (shape[1] if last else 1)
        rows = own.transpose(0, 2, 3, 1).reshape(-1, row) if last else own.reshape(-1, row)
        for more in dict.fromkeys(-row % multiple for multiple in MULTIPLES if row % multiple):
            multiples = ", ".join(str(multiple) for multiple in MULTIPLES if -row % multiple == more)
            places = np.pad(rows, ((0, 0), (0, more)), constant_values=count).reshape(-1)
            words = (
                f"each row of the memory is filled up with zeros from {'W × channels' if last else 'W'} = {row} to "
                f"{row + more} numbers (a multiple of {multiples})"
            )
            long = row + more
            planar = (channels * height * long, height * long, long, 1)
            yield _Memory(words, places, (height * long, 1, long, channels) if last else planar, long)


def _dense(shape: tuple[int, ...], order: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of images, channels, rows, columns where the axes lie in memory in this order."""
    strides, step = [0] * 4, 1
    for axis in reversed(order):
        strides[axis], step = step, step * shape[axis]
    return tuple(strides)


def _strides(numbers: Array, wanted: Array, step: int) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Starts and strides that give some of the wanted numbers (B, c, H, W), with this stride along a row."""
    length = min(COMPARED, wanted.shape[3])
    reach = (length - 1) * step
    count = len(numbers) - abs(reach)
    if count < 1 or length < 2:
        return
    first = max(0, -reach)
    bits = numbers.astype(np.float64).view(np.uint64) >> np.uint64(20)
    hashes = np.zeros(count, np.uint64)
    for place in range(length):
        hashes = hashes * np.uint64(FACTOR) + bits[first + place * step :][:count]

    def hits(row: Array) -> Array:
        code = np.uint64(0)
        for value in row[:length].astype(np.float64).view(np.uint64) >> np.uint64(20):
            code = np.uint64((int(code) * FACTOR + int(value)) % 2**64)
        return np.flatnonzero(hashes == code)[:MOST_HITS] + first

    starts = hits(wanted[0, 0, 0])
    if not len(starts):
        return
    along = [_along(wanted, axis, starts, hits) for axis in range(3)]
    chosen = np.random.default_rng(0).integers(0, wanted.size, SAMPLED)
    index = np.stack(np.unravel_index(chosen, wanted.shape))
    sample = wanted.reshape(-1)[chosen]
    tried = 0
    for start in starts:
        for others in product(*(found[start] for found in along)):
            tried += 1
            if tried > MOST_STRIDES:
                return
            strides = (*(int(other) for other in others), step)
            places = start + np.array(strides) @ index
            inside = (places >= 0) & (places < len(numbers))
            if inside.mean() > 0.5 and (numbers[places[inside]] == sample[inside]).all():
                yield int(start), strides


def _along(wanted: Array, axis: int, starts: Array, hits: Callable[[Array], Array]) -> dict[int, list[int]]:
    """By the start the strides along an axis that some row of numbers allows, one that is at few places."""
    if wanted.shape[axis] == 1:
        return {int(start): [0] for start in starts}
    best: tuple[int, Array] | None = None
    for entry in range(1, min(wanted.shape[axis], MOST_ENTRIES)):
        found = hits(np.moveaxis(wanted, axis, 0)[entry].reshape(-1, wanted.shape[3])[0])
        if len(found) and (best is None or len(found) < len(best[1])):
            best = entry, found
    if best is None:
        return {int(start): [] for start in starts}
    entry, found = best
    return {int(start): [int(gap) // entry for gap in found - start if gap % entry == 0] for start in starts}


def _words(memory: _Memory, start: int, strides: tuple[int, ...], shape: tuple[int, ...]) -> str:
    words = [memory.words] if memory.words else []
    dense = next((order for order in permutations(range(4)) if _dense(shape, order) == strides), None)
    if start == 0 and dense is not None:
        words.append(f"the memory is read as ({', '.join(AXES[axis] for axis in dense)}), without gaps")
        return ", and ".join(words)
    names = ("image b", "channel c", "row y", "column x")
    parts = [
        f"{name} begins at {_symbol(name[-1], stride, shape, memory.rows)}, not at "
        f"{_symbol(name[-1], right, shape, memory.rows)}"
        for name, stride, right, size in zip(names, strides, memory.strides, shape, strict=True)
        if stride != right and size > 1
    ]
    parts += [f"it is read from number {start} on"] * (start != 0)
    return ", and ".join([*words, "; ".join(parts)])


def _symbol(index: str, stride: int, shape: tuple[int, ...], rows: int) -> str:
    """A multiple of a stride, as a product of sizes and with its number."""
    _, channels, height, width = shape
    known = {f"{words}W, filled up,": size for words, size in (("", rows), ("H·", height * rows)) if rows}
    known |= {"channels·H·W, filled up,": channels * height * rows} if rows else {}
    known |= {
        "channels·H·W": channels * height * width,
        "H·W": height * width,
        "channels·W": channels * width,
        "W": width,
        "channels": channels,
        "H": height,
        "channels·H": channels * height,
    }
    if stride in (0, 1, -1):
        return ("0", index, f"-{index}")[stride]
    name = next((name for name, size in known.items() if size == abs(stride)), "")
    sign = "-" if stride < 0 else ""
    return f"{sign}{index}·{name} = {sign}{index}·{abs(stride)}" if name else f"{sign}{index}·{abs(stride)}"
