"""Wrong numbers of an array that stand in another array, at places that follow a rule: they were copied from there."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from npswin.types import Array
from npswin.verify.fits.index_maps import FEWEST_PLACES, index_map, map_words, memory_offset, memory_words
from npswin.verify.fits.parts import entries_text
from npswin.verify.fits.words import Axis, join

PROBES = 4  # numbers that an array must have before all are looked up in it
MOST_COPIES = 16  # arrays that have the numbers
LARGEST_SHARE = 0.75  # of the numbers that may be copies, where a placement of all of them would tell it better
LEAST_SHARE = 0.5  # of the numbers of some rows and columns that are wrong, where all of them are copies
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
    """

    source: str
    at: str
    where: str
    wrong: Array
    places: Array

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
    distinct = np.unique(found[wrong & (np.abs(found) > tolerance)])
    if len(distinct) < FEWEST_PLACES:
        return
    probes = distinct[np.linspace(0, len(distinct) - 1, PROBES).astype(int)]
    told = 0
    for name, array, of_source in sources:
        if not all((np.abs(array - probe) <= tolerance).any() for probe in probes):
            continue
        copy = _copy(found, wrong, axes, (name, array, of_source), tolerance)
        if copy is None or (array.size == found.size and copy.wrong.mean() > LARGEST_SHARE):
            continue
        yield copy
        told += 1
        if told == MOST_COPIES:
            return


def _copy(found: Array, wrong: Array, axes: Sequence[Sequence[Axis]], source: Source, tolerance: float) -> Copy | None:
    """The rule by which wrong numbers stand in a source: along the parts of axes, along whole axes, or in memory."""
    name, array, of_source = source
    flat, parts = np.flatnonzero(wrong), _all_parts(axes)
    memory = [Axis("memory", array.size)]
    for own, others in ((parts, _all_parts(of_source)), (_joined(axes), _joined(of_source)), (parts, memory)):
        sizes = [part.size for part in own]
        indices = np.stack(np.unravel_index(flat, sizes))
        rule = index_map(found[wrong], indices, array, [part.size for part in others], tolerance)
        if rule is None:
            continue
        box = np.zeros(sizes, bool)
        box[np.ix_(*map(np.unique, indices))] = True
        box, may_be_all = box.reshape(wrong.shape), False
        if others is memory and array.size != found.size and memory_offset(rule, own) is not None:
            box, may_be_all = np.ones_like(box), True
        whole = replace(rule, indices=np.stack(np.unravel_index(np.flatnonzero(box), sizes)))
        most = (may_be_all or not box.all()) and wrong.sum() > LEAST_SHARE * box.sum()
        if most and whole.gives(found[box], array, tolerance):  # the others are right by chance
            rule, wrong = whole, box
        at = memory_words(rule, own) if others is memory else map_words(rule, own, others)
        return Copy(name, at, f"in {places_words(wrong, axes)}", wrong, rule.places)
    return None


def _all_parts(axes: Sequence[Sequence[Axis]]) -> list[Axis]:
    return [part for axis in axes for part in axis]


def _joined(axes: Sequence[Sequence[Axis]]) -> list[Axis]:
    return [join(axis) for axis in axes]


def places_words(wrong: Array, axes: Sequence[Sequence[Axis]]) -> str:
    """Which places are marked: entries along axes, a part of a list, or their share."""
    return regular_places(wrong, axes) or f"{wrong.mean():.0%} of the places"


def regular_places(wrong: Array, axes: Sequence[Sequence[Axis]]) -> str:
    """Which places are marked, if these are entries along axes or a part of a list; else ""."""
    if wrong.all():
        return "all of it"
    parts = _all_parts(axes)
    for split in (parts, _joined(axes)):
        if box := _box_words(wrong, split):
            return box
    flat = np.flatnonzero(wrong)
    first, behind = int(flat[0]), int(flat[-1]) + 1
    if behind - first != len(flat):
        return ""
    for count in range(1, len(parts)):
        run = wrong.size // int(np.prod([part.size for part in parts[:count]]))
        if first % run == behind % run == 0:
            return entries_text(join(parts[:count]), np.arange(first // run, behind // run))
    return f"the last {len(flat)} numbers in memory" if behind == wrong.size else f"numbers {first} to {behind - 1}"


def _box_words(wrong: Array, split: Sequence[Axis]) -> str:
    """The entries along each axis, if all of their combinations are marked; else ""."""
    box = [np.unique(each) for each in np.nonzero(wrong.reshape([part.size for part in split]))]
    if np.prod([len(entries) for entries in box]) != wrong.sum():
        return ""
    limited = [(part, entries) for part, entries in zip(split, box, strict=True) if len(entries) < part.size]
    return " of ".join(entries_text(part, entries) for part, entries in reversed(limited))
