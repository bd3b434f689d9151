"""Wrong numbers of an array that stand in another array, at places that follow a rule: they were copied from there."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from npswin.types import Array
from npswin.verify.fits.index_maps import FEWEST_PLACES, IndexMap, index_map, map_words
from npswin.verify.fits.parts import entries_words
from npswin.verify.fits.words import Axis, join

PROBES = 4  # numbers that an array must have before all are looked up in it
MOST_COPIES = 16  # arrays that have the numbers
Source = tuple[str, Array, Sequence[Sequence[Axis]]]  # an array's name, its numbers, and the parts of its axes


@dataclass(frozen=True)
class Copy:
    """Numbers of an array that stand in another one.

    Attributes:
        source: the other array's name.
        at: where in it, in words.
        where: the wrong numbers' places, in words.
        wrong: where they are, of the array's shape.
        places: (n) where each of them stands in the source's memory, -1 for a 0 outside of it.
        rule: how these follow.
    """

    source: str
    at: str
    where: str
    wrong: Array
    places: Array
    rule: IndexMap

    @property
    def words(self) -> str:
        """Where the numbers of what are."""
        return f"{self.where} there are the numbers of {self.source}, {self.at}"


def copies(
    found: Array, right: Array, axes: Sequence[Sequence[Axis]], tolerance: float, sources: Iterable[Source]
) -> Iterator[Copy]:
    """The sources that have all wrong numbers of an array.

    Args:
        found, right: arrays of one shape.
        axes: for each of their axes its parts.
        tolerance: the largest difference of equal numbers.
        sources: the arrays to look into.
    """
    wrong = np.abs(found - right) > tolerance
    numbers, distinct = found[wrong], np.unique(found[wrong & (np.abs(found) > tolerance)])
    if len(distinct) < FEWEST_PLACES:
        return
    probes = distinct[np.linspace(0, len(distinct) - 1, PROBES).astype(int)]
    flat, told = np.flatnonzero(wrong), 0
    for name, array, of_source in sources:
        if not all((np.abs(array - probe) <= tolerance).any() for probe in probes):
            continue
        for own, others in ((_all_parts(axes), _all_parts(of_source)), (_joined(axes), _joined(of_source))):
            indices = np.stack(np.unravel_index(flat, [part.size for part in own]))
            rule = index_map(numbers, indices, array, [part.size for part in others], tolerance)
            if rule is not None:
                places = rule.places
                if not (wrong.all() and array.size == found.size and np.array_equal(places, flat)):
                    where = places_words(wrong, axes)
                    yield Copy(name, map_words(rule, own, others), f"in {where}", wrong, places, rule)
                    told += 1
                break
        if told == MOST_COPIES:
            return


def _all_parts(axes: Sequence[Sequence[Axis]]) -> list[Axis]:
    return [part for axis in axes for part in axis]


def _joined(axes: Sequence[Sequence[Axis]]) -> list[Axis]:
    return [join(axis) for axis in axes]


def places_words(wrong: Array, axes: Sequence[Sequence[Axis]]) -> str:
    """Which places are marked: entries along axes, a part of a list, or their share."""
    if wrong.all():
        return "all of it"
    parts = _all_parts(axes)
    for split in (parts, _joined(axes)):
        if box := _box_words(wrong, split):
            return box
    flat = np.flatnonzero(wrong)
    first, behind = int(flat[0]), int(flat[-1]) + 1
    if behind - first != len(flat):
        return f"{wrong.mean():.0%} of the places"
    for count in range(1, len(parts)):
        run = wrong.size // int(np.prod([part.size for part in parts[:count]]))
        if first % run == behind % run == 0:
            return entries_words(join(parts[:count]), np.arange(first // run, behind // run))
    return f"the last {len(flat)} numbers in memory" if behind == wrong.size else f"numbers {first} to {behind - 1}"


def _box_words(wrong: Array, split: Sequence[Axis]) -> str:
    """The entries along each axis, if all of their combinations are marked; else ""."""
    box = [np.unique(each) for each in np.nonzero(wrong.reshape([part.size for part in split]))]
    if np.prod([len(entries) for entries in box]) != wrong.sum():
        return ""
    limited = [(part, entries) for part, entries in zip(split, box, strict=True) if len(entries) < part.size]
    return " of ".join(entries_words(part, entries) for part, entries in reversed(limited))
