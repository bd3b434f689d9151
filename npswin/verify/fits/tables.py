"""A function that is read from a table, at steps that usual tables have."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np

from npswin.types import Array

REACHES = (2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0, 16.0)
COUNTS = tuple(2**bits for bits in range(4, 13))  # of steps from end to end
COUNTS += tuple(count - 1 for count in COUNTS[2:7])  # of so many entries
STEPS = tuple(2.0**-bits for bits in range(1, 9))
SAMPLE = 512  # numbers for which each table is tried first
FEWEST_INSIDE = 16  # of these that a table has to give, where another function is taken outside
Function = Callable[[Array], Array]
WAYS: dict[str, Function] = {
    "linear between its entries": lambda place: place,
    "the nearest entry": np.rint,
    "the entry below": np.floor,
}


class Table(NamedTuple):
    """A table of a function.

    Attributes:
        words: how it is read.
        read: the function that it gives.
        slope: likewise from the derivative: of the table's entries and, outside, of what is taken there.
        stepped: whether the function is constant between its steps.
    """

    words: str
    read: Function
    slope: Function
    stepped: bool


class Known(NamedTuple):
    """A function and its derivative."""

    value: Function
    slope: Function


def tables(
    known: Known,
    x: Array,
    found: Array,
    tolerance: float,
    symmetric: bool,
    outside: Mapping[str, Known] | None = None,
    reached: float = 0.0,
) -> Iterator[Table]:
    """Tables of a function that give the found numbers, all with one step.

    A table whose ends are beyond these x is told without them first; then, if they are not beyond all that it is read
    for anywhere, with each end that it may have.

    Args:
        known: the function of each number.
        x: its arguments.
        found: the port's numbers, of the shape of x.
        tolerance: the largest difference of equal numbers.
        symmetric: whether the table runs from -reach to reach, rather than from -reach to 0.
        outside: what may be taken beyond the table's ends, by words; else the entries there.
        reached: the largest size of the arguments elsewhere.
    """
    every = max(1, x.size // SAMPLE)
    few_x, few = x.reshape(-1)[::every], found.reshape(-1)[::every]
    own, step, used = float(np.abs(x).max(initial=0)), 0.0, ""
    for reach in REACHES:
        inside = np.abs(few_x) < reach
        low, high = -reach, reach if symmetric else 0.0
        counts = dict.fromkeys((*COUNTS, *(round((high - low) / each) for each in STEPS)))
        for count in counts if inside.sum() >= FEWEST_INSIDE else ():
            for way in WAYS if step in (0.0, (high - low) / count) else ():
                read = _Reading(low, high, count, way)
                if used not in ("", way) or not _near(read.of(known), few_x[inside], few[inside], tolerance):
                    continue
                for beyond, table in _with_ends(read, known, outside or {}):
                    if _near(table.read, few_x, few, tolerance) and _near(table.read, x, found, tolerance):
                        words = f"from a table with steps of {(high - low) / count:.4g}"
                        if reach > own and not step:
                            yield table._replace(words=f"{words}, {way}")
                        step, used = (high - low) / count, way
                        if reach <= max(own, reached):
                            yield table._replace(words=f"{words}{beyond}, {way}")


def _near(function: Function, x: Array, found: Array, tolerance: float) -> bool:
    return bool(np.abs(function(x) - found).max() <= tolerance)


class _Reading(NamedTuple):
    """How a table from `low` to `high` with so many steps is read."""

    low: float
    high: float
    steps: int
    way: str

    def of(self, known: Known) -> Function:
        """A function that is read so, from a table with all entries."""
        return partial(self.read, self.entries(known.value), last=self.steps)

    def entries(self, function: Function) -> Array:
        """Of the table."""
        return function(np.linspace(self.low, self.high, self.steps + 1))

    def read(self, entries: Array, x: Array, last: int) -> Array:
        """The entries for x, up to the last one."""
        place = WAYS[self.way](np.clip((x - self.low) / (self.high - self.low) * self.steps, 0, self.steps))
        return np.interp(np.minimum(place, last), np.arange(self.steps + 1), entries)

    def is_outside(self, x: Array) -> Array:
        """Whether x is beyond the ends."""
        return (x < self.low) | (x >= self.high)


def _with_ends(read: _Reading, known: Known, outside: Mapping[str, Known]) -> Iterator[tuple[str, Table]]:
    """The table with what is there beyond its ends."""
    values, slopes = read.entries(known.value), read.entries(known.slope)
    stepped = read.way != "linear between its entries"
    for last in (read.steps, read.steps - 1):
        end = read.high - (read.steps - last) * (read.high - read.low) / read.steps
        value: Function = partial(read.read, values, last=last)
        slope = _beyond(read, partial(read.read, slopes, last=last), np.zeros_like)
        yield f" from {read.low:g} to {end:.4g}", Table("", value, slope, stepped)
    for words, other in outside.items():
        value = _beyond(read, partial(read.read, values, last=read.steps), other.value)
        slope = _beyond(read, partial(read.read, slopes, last=read.steps), other.slope)
        yield f" from {read.low:g} to {read.high:g}, {words} outside", Table("", value, slope, stepped)


def _beyond(read: _Reading, inside: Function, outside: Function) -> Function:
    return lambda x: np.where(read.is_outside(x), outside(x), inside(x))
