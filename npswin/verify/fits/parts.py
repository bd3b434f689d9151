"""A part of an array is wrong and the rest is right: some rows, a head, an image, the last number."""

from collections.abc import Iterator

import numpy as np

from npswin.types import Array
from npswin.verify.fits.explanation import Evidence, Explanation, Pair
from npswin.verify.fits.words import Axis

LARGEST_SHARE = 0.75  # of an axis that may be wrong
MOST_LISTED = 6


def a_part_differs(evidence: Evidence) -> Iterator[Explanation]:
    """The entries along one part of an axis that are wrong, and what is there in place of them."""
    parts = [part for axis in evidence.axes for part in axis]
    shape = [part.size for part in parts]
    found, right = evidence.found.reshape(shape), evidence.right.reshape(shape)
    wrong = np.abs(found - right) > evidence.tolerance
    if wrong.mean() > LARGEST_SHARE:
        return
    best: tuple[int, Array] | None = None
    for place in range(len(parts)):
        others = tuple(axis for axis in range(len(parts)) if axis != place)
        entries = np.flatnonzero(wrong.any(axis=others))
        if len(entries) <= LARGEST_SHARE * shape[place] and (
            best is None or len(entries) / shape[place] < len(best[1]) / shape[best[0]]
        ):
            best = place, entries
    if best is None:
        return
    place, entries = best
    what = _content(found.take(entries, place), right, entries, place, parts[place], evidence.tolerance)
    if what:
        yield Explanation(
            f"{_entries(parts[place], entries)} {what}", _only(evidence, wrong.reshape(evidence.found.shape))
        )


def _content(there: Array, right: Array, entries: Array, place: int, part: Axis, tolerance: float) -> str:
    """What is in place of the right entries; empty if it is not known."""
    verb = "is" if len(entries) == 1 else "are"
    own = right.take(entries, place)
    if np.abs(there).max() <= tolerance:
        return f"{verb} 0"
    if np.abs(there + own).max() <= tolerance:
        return f"{verb} multiplied by -1"
    for source in range(right.shape[place]):
        if np.abs(there - right.take([source], place)).max() <= tolerance:
            return f"{verb} those of {_entries(part, np.array([source]))}"
    squares = float((own * own).sum())
    factor = float((there * own).sum()) / squares if squares else 0.0
    if factor and np.abs(there - factor * own).max() <= tolerance * max(1.0, abs(factor)):
        return f"{verb} multiplied by {factor:.6g}"
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


def _only(evidence: Evidence, wrong: Array) -> Pair:
    """The found numbers where they are wrong, and no derivative there."""
    found = evidence.found

    def forward(x: Array) -> tuple[Array, object]:
        return np.where(wrong, found.astype(x.dtype), x), None

    return forward, lambda dy, _: np.where(wrong, 0, dy)
