"""A function that is read from a table, at steps that usual tables have."""

from collections.abc import Callable, Iterator

import numpy as np

from npswin.types import Array

REACHES = (2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 16.0)
COUNTS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
SAMPLE = 2048  # numbers for which each table is tried first
Function = Callable[[Array], Array]
WAYS: dict[str, Function] = {
    "linear between its entries": lambda place: place,
    "the nearest entry": np.rint,
    "the entry below": np.floor,
}

Table = tuple[str, Function]  # words, and the function that the table gives


def tables(function: Function, x: Array, found: Array, tolerance: float, symmetric: bool) -> Iterator[Table]:
    """Tables of a function that give the found numbers.

    Args:
        function: of each number.
        x: its arguments.
        found: the port's numbers, of the shape of x.
        tolerance: the largest difference of equal numbers.
        symmetric: whether the table runs from -reach to reach, rather than from -reach to 0.
    """
    step = max(1, x.size // SAMPLE)
    few_x, few = x.reshape(-1)[::step], found.reshape(-1)[::step]
    for reach in REACHES:
        low, high = -reach, reach if symmetric else 0.0
        for count in COUNTS:
            entries = function(np.linspace(low, high, count + 1))
            for way in WAYS:
                read = _reading(entries, low, high, way)
                if np.abs(read(few_x) - few).max() <= tolerance and np.abs(read(x) - found).max() <= tolerance:
                    reach_words = f" from {low:g} to {high:g}" if (np.abs(x) > reach).any() else ""
                    yield f"from a table with steps of {(high - low) / count:.4g}{reach_words}, {way}", read
                    return


def _reading(entries: Array, low: float, high: float, way: str) -> Function:
    count = len(entries) - 1

    def read(x: Array) -> Array:
        place = WAYS[way](np.clip((x - low) / (high - low) * count, 0, count))
        return np.interp(place, np.arange(count + 1), entries)

    return read
