"""Numbers that are moved along memory: each is the one a few places before or after it."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from npswin.types import Array
from npswin.verify.fits.explanation import Evidence, Explanation, Pair, gathered
from npswin.verify.fits.words import join

FEWEST, MOST_NUMBERS = 8, 2**20  # of an array
SAMPLE, FIRST = 64, 3  # numbers by which a step is found, and by which most are refused
FARTHEST = 2**12  # places
Fill = Callable[[Array, int], Array]  # places, length -> the same with those outside mapped into it, or -1

ROLLED = "what goes out at one end comes in at the other"
FILLS: dict[str, Fill] = {
    "0 comes in": lambda place, length: np.where((place < 0) | (place >= length), -1, place),
    "the number at the edge comes in": lambda place, length: np.clip(place, 0, length - 1),
    ROLLED: lambda place, length: place % length,
}


def moved_in_memory(evidence: Evidence) -> Iterator[Explanation]:
    """Moved by some places in the memory of all numbers, or of each entry along the first axes, across axes' ends.

    A roll along a single axis, and a move by whole rows, is told by where the entries of that axis are.
    """
    found, right = evidence.found, evidence.right
    if not FEWEST <= found.size <= MOST_NUMBERS or np.ptp(right) <= 4 * evidence.tolerance:
        return
    for first in range(found.ndim):
        length = int(np.prod(found.shape[first:]))
        parts = [part for axis in evidence.axes[first:] for part in axis if part.size > 1]
        step = _step(found.reshape(-1, length), right.reshape(-1, length), evidence.tolerance) if length > 1 else 0
        whole_rows = len(parts) > 1 and step % parts[-1].size == 0
        for words, fill in FILLS.items() if step and not whole_rows else ():
            if len(parts) == 1 and words == ROLLED:
                continue
            if evidence.agrees(np.append(right, 0.0)[_positions(right.shape, first, step, fill)]):
                side = "before" if step > 0 else "after"
                which = f"the one {side}" if abs(step) == 1 else f"that {abs(step)} places {side}"
                text = f"each is {which} it in the memory of {join(parts).plural}; {words}"
                yield Explanation(text, _moved(first, step, fill))
                return


def _step(found: Array, right: Array, tolerance: float) -> int:
    """By how many places rows are moved towards their end; 0 where they are not."""
    length = found.shape[1]
    reach = min(length // 4, FARTHEST)
    places = np.unique(np.linspace(reach, length - 1 - reach, SAMPLE).astype(int))
    fitting = np.arange(-reach, reach + 1)
    for row in {0, len(found) - 1}:
        for some in (places[:FIRST], places):  # most steps are refused by a few numbers
            candidates = right[row, some[:, None] - fitting]
            fitting = fitting[(np.abs(candidates - found[row, some, None]) <= tolerance).all(axis=0)]
    return int(fitting[np.abs(fitting).argmin()]) if len(fitting) else 0


def _positions(shape: Sequence[int], first: int, step: int, fill: Fill) -> Array:
    """The flat position from which each number comes, -1 for a 0."""
    length = int(np.prod(shape[first:]))
    source = fill(np.arange(length) - step, length)
    rows = np.arange(int(np.prod(shape[:first])))[:, None] * length
    return np.where(source < 0, -1, rows + source).reshape(shape)


def _moved(first: int, step: int, fill: Fill) -> Pair:
    """The move in an array of any shape."""

    def forward(x: Array) -> tuple[Array, object]:
        return gathered(_positions(x.shape, first, step, fill))[0](x)

    return forward, lambda dy, shape: gathered(_positions(dy.shape, first, step, fill))[1](dy, shape)
