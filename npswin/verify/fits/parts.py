"""A part of an array is wrong and the rest is right: some rows, a head, an image, the last number."""

from collections.abc import Iterator, Sequence

import numpy as np

from npswin.types import Array
from npswin.verify.fits.explanation import Evidence, Explanation, replaced_where
from npswin.verify.fits.words import Axis, JoinedAxis, join

Slices = dict[str, Array]  # other arrays by name, with the axes split into parts

LARGEST_SHARE = 0.75  # of an axis that may be wrong
LARGEST_UNWRITTEN = 0.95  # likewise, where the wrong numbers are 0 or NaN
MOST_LISTED = 6


def a_part_differs(evidence: Evidence) -> Iterator[Explanation]:
    """The entries along one part of an axis that are wrong, and what is there in place of them.

    Where several leading axes are one list in memory, such as the windows of all images, entries of that list are told,
    and at last the numbers from some place of the memory on, as where the rest of a grid is not computed.
    """
    parts = [part for axis in evidence.axes for part in axis]
    shape = [part.size for part in parts]
    found, right = evidence.found, evidence.right
    with np.errstate(invalid="ignore"):
        wrong = ~(np.abs(found - right) <= evidence.tolerance)
    unwritten = (np.nan_to_num(found[wrong]) == 0).all()
    most = LARGEST_UNWRITTEN if unwritten else LARGEST_SHARE
    if not wrong.any() or wrong.mean() > most:
        return
    best = _fewest_entries(wrong.reshape(shape), most)
    candidates = [] if best is None else [(parts, *best)]
    for split, place, any_entries in _lists(evidence.axes, parts):
        sizes = [part.size for part in split]
        others_than = tuple(axis for axis in range(len(split)) if axis != place)
        entries = np.flatnonzero(wrong.reshape(sizes).any(axis=others_than))
        is_run = int(entries[-1] - entries[0]) + 1 == len(entries)
        if len(entries) <= most * sizes[place] and (any_entries or is_run):
            candidates.append((split, place, entries))
    others = {name: other for name, other in evidence.others.items() if other.size == found.size}
    for split, place, entries in candidates:
        sizes = [part.size for part in split]
        there = found.reshape(sizes).take(entries, place)
        what = _content(there, right.reshape(sizes), entries, place, split[place], evidence.tolerance)
        of_others = {name: other.reshape(sizes) for name, other in others.items()}
        what = what or _content_of_others(there, of_others, entries, place, evidence.tolerance)
        if what:
            words = f"{_entries(split[place], entries)} {what}"
            yield Explanation(words, replaced_where(wrong, found))
            return


def _lists(axes: Sequence[Sequence[Axis]], parts: Sequence[Axis]) -> Iterator[tuple[list[Axis], int, bool]]:
    """Splits of the axes in which one entry is several parts as one list: an axis of parts, then the leading parts.

    Yields:
        The axes, the place of the list, and whether any of its entries may be wrong, or only a run of them.
    """
    whole = [join(axis) for axis in axes]
    for place, axis in enumerate(axes):
        if len(axis) > 1:
            yield whole, place, True
    for count in range(2, len(parts) + 1):
        yield [join(parts[:count]), *parts[count:]], 0, False


def _fewest_entries(wrong: Array, most: float) -> tuple[int, Array] | None:
    """The axis of which the smallest share of entries has wrong numbers, and these entries."""
    best: tuple[int, Array] | None = None
    for place, size in enumerate(wrong.shape):
        entries = np.flatnonzero(wrong.any(axis=tuple(axis for axis in range(wrong.ndim) if axis != place)))
        if len(entries) <= most * size and (best is None or len(entries) / size < len(best[1]) / wrong.shape[best[0]]):
            best = place, entries
    return best


def _content(there: Array, right: Array, entries: Array, place: int, part: Axis, tolerance: float) -> str:
    """What is in place of the right entries; empty if it is not known."""
    verb = "is" if len(entries) == 1 else "are"
    own = right.take(entries, place)
    if np.abs(there).max() <= tolerance:
        return f"{verb} 0"
    if np.abs(there + own).max() <= tolerance:
        return f"{verb} multiplied by -1"
    if np.isnan(there).all():
        return f"{verb} NaN, as of memory that was never written"
    if not np.isfinite(there).all():
        return ""
    for source in range(right.shape[place]):
        if np.abs(there - right.take([source], place)).max() <= tolerance:
            return f"{verb} that of {_entries(part, np.array([source]))}"
    for back in range(1, int(entries[0]) + 1) if len(entries) > 1 else ():
        earlier = entries - back
        first = np.take(right, earlier[:1], place)
        if np.abs(np.take(there, [0], place) - first).max() <= tolerance and (
            np.abs(there - right.take(earlier, place)).max() <= tolerance
        ):
            return f"{verb} those of {_entries(part, earlier)}"
    squares = float((own * own).sum())
    factor = float((there * own).sum()) / squares if squares else 0.0
    if factor and np.abs(there - factor * own).max() <= tolerance * max(1.0, abs(factor)):
        return f"{verb} multiplied by {factor:.6g}"
    return ""


def _content_of_others(there: Array, others: Slices, entries: Array, place: int, tolerance: float) -> str:
    verb = "is" if len(entries) == 1 else "are"
    for name, other in others.items():
        if np.abs(there - other.take(entries, place)).max() <= tolerance:
            return f"{verb} that of {name}"
    return ""


def _entries(part: Axis, entries: Array) -> str:
    if part.name == "q|k|v":
        return " and ".join("qkv"[entry] for entry in entries)
    if isinstance(part, JoinedAxis):
        return _entries_of_list(part, entries)
    name = {"B": "image", "C": "channel"}.get(part.name, part.name)
    if len(entries) == 1 and entries[0] == part.size - 1:
        return f"the last {name}"
    first, last = int(entries[0]), int(entries[-1])
    if len(entries) > MOST_LISTED and last - first + 1 == len(entries):
        return f"{part.plural} {first} to {last}"
    listed = ", ".join(map(str, entries[:MOST_LISTED])) + (", ..." if len(entries) > MOST_LISTED else "")
    return f"{part.plural if len(entries) > 1 else name} {listed}"


def _entries_of_list(part: JoinedAxis, entries: Array) -> str:
    """Entries of several axes that are one list in memory."""
    names = ", ".join({"B": "image", "C": "channel"}.get(one.name, one.name) for one in part.parts)
    of_list = f"of the {part.size} entries of ({names})"
    first, last = int(entries[0]), int(entries[-1])
    if last - first + 1 != len(entries):
        listed = ", ".join(map(str, entries[:MOST_LISTED])) + (", ..." if len(entries) > MOST_LISTED else "")
        return f"{listed} {of_list}"
    if last == part.size - 1:
        return f"the last{f' {len(entries)}' if len(entries) > 1 else ''} {of_list}"
    return f"{first} to {last} {of_list}" if len(entries) > 1 else f"{first} {of_list}"
