"""A part of an array is wrong and the rest is right: some rows, a head, an image, the last number."""

from collections.abc import Iterator, Sequence

import numpy as np

from npswin.types import Array
from npswin.verify.fits.combinations import chosen
from npswin.verify.fits.explanation import Evidence, Explanation, replaced_where, times
from npswin.verify.fits.factors import factor_words
from npswin.verify.fits.words import Axis, JoinedAxis, join

Slices = dict[str, Array]  # other arrays by name, with the axes split into parts

LARGEST_SHARE = 0.75  # of an axis that may be wrong
LARGEST_UNWRITTEN = 0.95  # likewise, where the wrong numbers are 0 or NaN
MOST_LISTED = 6
FEWEST = 4  # numbers with one factor: a single number has one by chance


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
        entries = entries_with(wrong.reshape([part.size for part in split]), place)
        is_run = int(entries[-1] - entries[0]) + 1 == len(entries)
        if len(entries) <= most * split[place].size and (any_entries or is_run):
            candidates.append((split, place, entries))
    others = {name: other for name, other in evidence.others.items() if other.size == found.size}
    for split, place, entries in candidates:
        sizes = [part.size for part in split]
        box = [entries if axis == place else np.arange(size) for axis, size in enumerate(sizes)]
        inner = [entries_with(wrong.reshape(sizes), axis) for axis in range(len(sizes))]
        for each in (box, inner) if split is parts else (box,):
            if factored := _factored(evidence, split, each):
                yield factored
                return
        there = found.reshape(sizes).take(entries, place)
        what, source = _content(there, right.reshape(sizes), entries, place, split[place], evidence.tolerance), ""
        if not what:
            of_others = {name: other.reshape(sizes) for name, other in others.items()}
            source = _source_of(there, of_others, entries, place, evidence.tolerance)
            what = f"{'is' if len(entries) == 1 else 'are'} that of {source}" if source else ""
        if what:
            words = f"{entries_text(split[place], entries)} {what}"
            combination = chosen(words, lambda x, v: wrong) if source else None
            yield Explanation(words, replaced_where(wrong, found), 0, source, combination)
            return


def entries_with(wrong: Array, axis: int) -> Array:
    """The entries along an axis with wrong numbers."""
    return np.flatnonzero(wrong.any(axis=tuple(other for other in range(wrong.ndim) if other != axis)))


def _factored(evidence: Evidence, parts: Sequence[Axis], box: Sequence[Array]) -> Explanation | None:
    """That some rows of some columns are multiplied by one number, such as 0, if they are."""
    shape = [part.size for part in parts]
    there, own = (array.reshape(shape)[np.ix_(*box)] for array in (evidence.found, evidence.right))
    factor = _factor(there, own, evidence.tolerance)
    if factor is None:
        return None
    inside = [(part, entries) for part, entries in zip(parts, box, strict=True) if len(entries) < part.size]
    where = " of ".join(entries_text(part, entries) for part, entries in inside)
    largest = float(np.abs(evidence.right).max()) or 1.0
    what = f"multiplied by {factor_words(factor, evidence.tolerance / largest)}" if factor else "0"
    words = f"{where} {'is' if all(len(entries) == 1 for _, entries in inside) else 'are'} {what}"
    irregular = sum(len(entries) for _, entries in inside if len(set(np.diff(entries).tolist())) > 1)
    scale = np.ones(shape)
    scale[np.ix_(*box)] = factor
    return Explanation(words, times(scale.reshape(evidence.found.shape)), irregular)


def _factor(there: Array, own: Array, tolerance: float) -> float | None:
    """The factor by which numbers are multiplied, such as 0; None if they are not."""
    if not np.isfinite(there).all():
        return None
    if np.abs(there).max() <= tolerance:
        return 0.0
    squares = float((own * own).sum())
    factor = float((there * own).sum()) / squares if squares and own.size >= FEWEST else 0.0
    return factor if factor and np.abs(there - factor * own).max() <= tolerance * max(1.0, abs(factor)) else None


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
        entries = entries_with(wrong, place)
        if len(entries) <= most * size and (best is None or len(entries) / size < len(best[1]) / wrong.shape[best[0]]):
            best = place, entries
    return best


def _content(there: Array, right: Array, entries: Array, place: int, part: Axis, tolerance: float) -> str:
    """What is in place of the right entries; empty if it is not known."""
    verb = "is" if len(entries) == 1 else "are"
    if np.isnan(there).all():
        return f"{verb} NaN, as of memory that was never written"
    if not np.isfinite(there).all():
        return ""
    for source in range(right.shape[place]):
        if np.abs(there - right.take([source], place)).max() <= tolerance:
            return f"{verb} that of {entries_text(part, np.array([source]))}"
    for back in range(1, int(entries[0]) + 1) if len(entries) > 1 else ():
        earlier = entries - back
        first = np.take(right, earlier[:1], place)
        if np.abs(np.take(there, [0], place) - first).max() <= tolerance and (
            np.abs(there - right.take(earlier, place)).max() <= tolerance
        ):
            return f"{verb} those of {entries_text(part, earlier)}"
    return ""


def _source_of(there: Array, others: Slices, entries: Array, place: int, tolerance: float) -> str:
    """The other array whose entries are in place of the right ones, or ""."""
    for name, other in others.items():
        if np.abs(there - other.take(entries, place)).max() <= tolerance:
            return name
    return ""


def entries_text(part: Axis, entries: Array) -> str:
    """Entries along an axis, such as "the last head" or "channels 8 to 15"."""
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
