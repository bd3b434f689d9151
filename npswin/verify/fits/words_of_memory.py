"""Words for memory that is read in another order: of whole axes, of their parts, or of parts of these."""

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from npswin.types import Array
from npswin.verify.fits.words import Axis, entry, join, singular


def words_of_memory(positions: Array, loops: Sequence[tuple[int, int]], axes: Sequence[Sequence[Axis]]) -> str:
    """The order in which memory is read: of whole axes if it can be, else of their parts, else of parts that are split.

    Args:
        positions: in the right array, in the order of the found one's memory.
        loops: that visit them.
        axes: for each axis its parts.
    """
    parts = [part for axis in axes for part in axis]
    for each in ([join(axis) for axis in axes], parts):
        if _splits_none(loops, each):
            break
        reshaped = _words_of_reshaped(positions, [axis for axis in each if axis.size > 1])
        if reshaped:
            return reshaped
    return _words_of_loops(loops, parts)


def _words_of_reshaped(positions: Array, axes: list[Axis]) -> str:
    """The words for memory that is read with two neighbouring axes exchanged, each of them one or several; or ""."""
    for start, middle, end in combinations(range(len(axes) + 1), 3):
        one, other = axes[start:middle], axes[middle:end]
        shape = [math.prod(axis.size for axis in group) for group in (other, one, axes[end:])]
        memory = np.arange(positions.size).reshape(-1, *shape)
        if np.array_equal(memory.swapaxes(1, 2).reshape(-1), positions):
            usual, read = (", ".join(singular(axis) for axis in order) for order in (one + other, other + one))
            return f"the memory of ({usual}) is read as ({read}): reshaped, not transposed"
    return ""


def _words_of_loops(loops: Sequence[tuple[int, int]], parts: Sequence[Axis]) -> str:
    """The order of the right array's axes in the found one's memory, the outermost first."""
    if any(stride == 0 for _, stride in loops):
        return _words_of_repeated(loops, parts)
    usual = ", ".join(part.name for part in parts if part.size > 1)
    return f"the memory of ({', '.join(_names_of_loops(loops, parts))}) is read as ({usual})"


def _splits_none(loops: Sequence[tuple[int, int]], parts: Sequence[Axis]) -> bool:
    """Whether each loop runs over whole axes; the words for a part of one begin with a number."""
    return not any(name[0].isdigit() for name in _names_of_loops(loops, parts))


def _names_of_loops(loops: Sequence[tuple[int, int]], parts: Sequence[Axis]) -> list[str]:
    sizes = [part.size for part in parts]
    strides = [math.prod(sizes[place + 1 :]) for place in range(len(parts))]
    return [name for count, stride in reversed(loops) for name in _names_of_loop(count, stride, parts, strides)]


def _words_of_repeated(loops: Sequence[tuple[int, int]], parts: Sequence[Axis]) -> str:
    """Where the same numbers are there several times, in the order of the loops over them."""
    count, stride = loops[-1]
    inside, first = loops[:-1], parts[0]
    reach = sum((count - 1) * abs(stride) for count, stride in inside)
    if stride or count != first.size or any(not stride for _, stride in inside):
        return "a part of the numbers in place of all of them"
    if reach >= math.prod(part.size for part in parts[1:]):
        return f"a part of the numbers in place of all of them, the same in all {first.plural}"
    same = f"{entry(first, 0)} in place of all {first.plural}"
    order = _words_of_loops(inside, parts[1:])
    usual = [part.name for part in parts[1:] if part.size > 1]
    return same if order.startswith(f"the memory of ({', '.join(usual)}) is") else f"{same}; {order}"


def _names_of_loop(count: int, stride: int, parts: Sequence[Axis], strides: Sequence[int]) -> list[str]:
    """The axes that a loop runs over: a part of one, one, or several neighbouring ones."""
    names: list[str] = []
    backward = " backward" if stride < 0 else ""
    stride, left = abs(stride), count
    for part, own in reversed(list(zip(parts, strides, strict=True))):
        if left > 1 and own <= stride < own * part.size:
            inside = stride // own
            here = min(left, -(-part.size // inside))
            whole = inside == 1 and here == part.size
            apart = f" {inside} apart" if inside > 1 else ""
            names.insert(0, part.name if whole else f"{here} {part.plural}{apart}")
            left //= here
            stride = own * part.size
    names = names or [str(count)]
    return [f"{name}{backward}" for name in names]
