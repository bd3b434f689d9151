"""Fitted numbers that have a name: those of a known array, of a part of it, or a small function of it or of two."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from npswin.types import Array

FEWEST_NAMED = 4  # different numbers that equal others by no chance
CHANCE = 1e-12  # with which other numbers are as near
MOST_OF_TWO = 64  # arrays that are combined, two at a time
STEP = 1e-30  # of a derivative with a complex step
Function = Callable[..., Array]

# Of one array's numbers p, and of two arrays' p and q: words and function. The first one is the simplest.
OF_ONE: dict[str, Function] = {
    "{p}": lambda p: p * 1,
    "-{p}": lambda p: -p,
    "1 + {p}": lambda p: 1 + p,
    "1 - {p}": lambda p: 1 - p,
    "1 / {p}": lambda p: 1 / p,
    "{p}²": lambda p: p * p,
    "twice {p}": lambda p: 2 * p,
    "half of {p}": lambda p: p / 2,
    "{p} - 1": lambda p: p - 1,
    "√{p}": lambda p: np.sqrt(p),
    "exp({p})": lambda p: np.exp(p),
}
OF_TWO: dict[str, Function] = {
    "{p} + {q}": lambda p, q: p + q,
    "{p} - {q}": lambda p, q: p - q,
    "{p} × {q}": lambda p, q: p * q,
    "{p} / {q}": lambda p, q: p / q,
}


@dataclass(frozen=True)
class Named:
    """Numbers as a function of known arrays.

    Attributes:
        words: such as "1 + norm.weight".
        arrays: the names of the arrays.
        positions: of each the flat places (n) of the numbers that are used.
        function: of these numbers.
    """

    words: str
    arrays: tuple[str, ...]
    positions: tuple[Array, ...]
    function: Function

    def numbers(self, *arrays: Array) -> Array:
        """The numbers (n), from the arrays."""
        return self.function(*self._used(arrays))

    def derivatives(self, dy: Array, *arrays: Array) -> tuple[Array, ...]:
        """The derivative by each array, from that by the numbers."""
        used, found = self._used(arrays), []
        for index, (array, places) in enumerate(zip(arrays, self.positions, strict=True)):
            moved = [one.astype(complex) + 1j * STEP * (index == place) for place, one in enumerate(used)]
            slope = np.imag(self.function(*moved)) / STEP
            sums = np.bincount(places, (dy * slope).astype(np.float64), array.size)
            found.append(sums.reshape(array.shape).astype(dy.dtype))
        return tuple(found)

    def _used(self, arrays: tuple[Array, ...]) -> list[Array]:
        return [array.reshape(-1)[places] for array, places in zip(arrays, self.positions, strict=True)]


def named_numbers(numbers: Array, arrays: Mapping[str, Array], tolerance: float) -> Named | None:
    """The name of some numbers; None if they have none.

    Args:
        numbers: (n).
        arrays: those that may have them, by name, the likeliest first.
        tolerance: the largest difference of equal numbers.
    """
    distinct = len(np.unique(np.round(numbers / max(4 * tolerance, 1e-300))))
    spread = float(np.ptp(numbers)) if len(numbers) else 0.0
    if distinct < FEWEST_NAMED or (2 * tolerance / spread) ** distinct > CHANCE:
        return None
    with np.errstate(all="ignore"):
        for candidates in (_of_one, _of_two, _in_another_order):
            found = next(candidates(numbers, arrays, tolerance), None)
            if found is not None:
                return found
    return None


def _of_one(numbers: Array, arrays: Mapping[str, Array], tolerance: float) -> Iterator[Named]:
    """A function of an array, or of a part of one that is a multiple of as many numbers."""
    stretches = [
        (name, words, places, array.reshape(-1)[places])
        for name, array in arrays.items()
        for words, places in _stretches(name, array, len(numbers))
    ]
    for words, function in OF_ONE.items():
        for name, stretch, places, values in stretches:
            near = np.abs(function(values[:, 0]) - numbers[0]) <= tolerance
            for row in np.flatnonzero(near):
                if (np.abs(function(values[row]) - numbers) <= tolerance).all():
                    of = words.format(p=stretch.format(row=row))
                    yield Named(of, (name,), (places[row],), function)


def _stretches(name: str, array: Array, count: int) -> Iterator[tuple[str, Array]]:
    """Words, with {row} for the number of the stretch, and the flat places (rows, count)."""
    places = np.arange(array.size)
    if array.size == count:
        yield name, places.reshape(1, -1)
    elif array.ndim == 1 and array.size > count:
        if name.endswith("qkv.bias") and array.size == 3 * count:
            for row, part in enumerate("qkv"):
                yield f"the {part} part of {name}", places.reshape(3, -1)[row : row + 1]
        else:
            starts = np.arange(array.size - count + 1)
            yield f"{count} numbers of {name} from number {{row}} on", starts[:, None] + np.arange(count)
    elif array.ndim == 1 and count % array.size == 0 and array.size >= FEWEST_NAMED:
        yield f"{name}, again and again", (np.arange(count) % array.size).reshape(1, -1)
        yield f"{name}, each number {count // array.size} times", (places.repeat(count // array.size)).reshape(1, -1)
    elif array.ndim == 2:
        if array.shape[1] == count:
            yield f"row {{row}} of {name}", places.reshape(array.shape)
        if array.shape[0] == count:
            yield f"column {{row}} of {name}", places.reshape(array.shape).T


def _of_two(numbers: Array, arrays: Mapping[str, Array], tolerance: float) -> Iterator[Named]:
    """A sum, difference, product or quotient of two arrays of as many numbers."""
    alike = {name: array.reshape(-1) for name, array in arrays.items() if array.size == len(numbers)}
    alike = dict(list(alike.items())[:MOST_OF_TWO])
    if len(alike) < 2:
        return
    names, values, places = list(alike), np.stack(list(alike.values())), np.arange(len(numbers))
    for words, function in OF_TWO.items():
        for name, array in alike.items():
            for index in np.flatnonzero((np.abs(function(array, values) - numbers) <= tolerance).all(axis=1)):
                if names[index] != name:
                    of = words.format(p=name, q=names[index])
                    yield Named(of, (name, names[index]), (places, places), function)


def _in_another_order(numbers: Array, arrays: Mapping[str, Array], tolerance: float) -> Iterator[Named]:
    """All numbers of an array in another order."""
    order = np.argsort(numbers)
    for name, array in arrays.items():
        if array.size != len(numbers):
            continue
        flat = array.reshape(-1)
        own = np.argsort(flat)
        if (np.abs(flat[own] - numbers[order]) <= tolerance).all():
            places = np.empty_like(own)
            places[order] = own
            how = "sorted" if np.array_equal(places, own) else "in another order"
            yield Named(f"{name}, {how}", (name,), (places,), OF_ONE["{p}"])
