"""A part of an array is wrong and the rest is right: some rows, a head, an image, the last number."""

from collections.abc import Iterator

import numpy as np

from npswin.types import Array
from npswin.verify.fits.combinations import chosen
from npswin.verify.fits.explanation import Evidence, Explanation, replaced_where, times
from npswin.verify.fits.factors import factor_words
from npswin.verify.fits.words import Axis

Slices = dict[str, Array]  # other arrays by name, with the axes split into parts

LARGEST_SHARE = 0.75  # of an axis that may be wrong
MOST_LISTED = 6
FEWEST = 4  # numbers with one factor: a single number has one by chance


def a_part_differs(evidence: Evidence) -> Iterator[Explanation]:
    """The entries along one part of an axis that are wrong, and what is there in place of them."""
    parts = [part for axis in evidence.axes for part in axis]
    shape = [part.size for part in parts]
    found, right = evidence.found.reshape(shape), evidence.right.reshape(shape)
    wrong = np.abs(found - right) > evidence.tolerance
    if wrong.mean() > LARGEST_SHARE:
        return
    best: tuple[int, Array] | None = None
    box = [
        np.flatnonzero(wrong.any(axis=tuple(axis for axis in range(len(parts)) if axis != place)))
        for place in range(len(parts))
    ]
    for place, entries in enumerate(box):
        if len(entries) <= LARGEST_SHARE * shape[place] and (
            best is None or len(entries) / shape[place] < len(best[1]) / shape[best[0]]
        ):
            best = place, entries
    if best is None:
        return
    place, entries = best
    slices = [entries if axis == place else np.arange(size) for axis, size in enumerate(shape)]
    for each in (slices, box):
        factor = _factor_of_box(found[np.ix_(*each)], right[np.ix_(*each)], evidence.tolerance)
        if factor is not None:
            inside = [(part, own) for part, own in zip(parts, each, strict=True) if len(own) < part.size]
            where = " of ".join(_entries(part, own) for part, own in inside)
            what = f"multiplied by {factor_words(factor, evidence.tolerance / _largest(right))}" if factor else "0"
            words = f"{where} {'is' if all(len(own) == 1 for _, own in inside) else 'are'} {what}"
            irregular = sum(len(own) for _, own in inside if len(set(np.diff(own).tolist())) > 1)
            scale = np.ones(shape)
            scale[np.ix_(*each)] = factor
            yield Explanation(words, times(scale.reshape(evidence.found.shape)), irregular)
            return
    others = {name: other.reshape(shape) for name, other in evidence.others.items() if other.size == found.size}
    there = found.take(entries, place)
    what, source = _content(there, right, entries, place, parts[place], evidence.tolerance), ""
    if not what:
        source = _source_of(there, others, entries, place, evidence.tolerance)
        what = f"{'is' if len(entries) == 1 else 'are'} that of {source}" if source else ""
    if what:
        words, places = f"{_entries(parts[place], entries)} {what}", wrong.reshape(evidence.found.shape)
        combination = chosen(words, lambda x, v: places) if source else None
        yield Explanation(words, replaced_where(places, evidence.found), 0, source, combination)


def _factor_of_box(there: Array, own: Array, tolerance: float) -> float | None:
    """The factor by which some rows of some columns are multiplied, such as 0; None if they are not."""
    if np.abs(there).max() <= tolerance:
        return 0.0
    squares = float((own * own).sum())
    factor = float((there * own).sum()) / squares if squares and own.size >= FEWEST else 0.0
    return factor if factor and np.abs(there - factor * own).max() <= tolerance * max(1.0, abs(factor)) else None


def _largest(array: Array) -> float:
    return float(np.abs(array).max()) or 1.0


def _content(there: Array, right: Array, entries: Array, place: int, part: Axis, tolerance: float) -> str:
    """What is in place of the right entries; empty if it is not known."""
    verb = "is" if len(entries) == 1 else "are"
    for source in range(right.shape[place]):
        if np.abs(there - right.take([source], place)).max() <= tolerance:
            return f"{verb} that of {_entries(part, np.array([source]))}"
    return ""


def _source_of(there: Array, others: Slices, entries: Array, place: int, tolerance: float) -> str:
    """The other array whose entries are in place of the right ones, or ""."""
    for name, other in others.items():
        if np.abs(there - other.take(entries, place)).max() <= tolerance:
            return name
    return ""


def _entries(part: Axis, entries: Array) -> str:
    if part.name == "q|k|v":
        return " and ".join("qkv"[entry] for entry in entries)
    name = {"B": "image", "C": "channel"}.get(part.name, part.name)
    if len(entries) == 1 and entries[0] == part.size - 1:
        return f"the last {name}"
    first, last = int(entries[0]), int(entries[-1])
    if len(entries) > MOST_LISTED and last - first + 1 == len(entries):
        return f"{part.plural} {first} to {last}"
    listed = ", ".join(map(str, entries[:MOST_LISTED])) + (", ..." if len(entries) > MOST_LISTED else "")
    return f"{part.plural if len(entries) > 1 else name} {listed}"
