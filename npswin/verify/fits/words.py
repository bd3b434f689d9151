"""Words for where numbers are: the parts of axes, and how entries along them were moved."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from npswin.types import Array
from npswin.verify.fits.index_rules import index_rules

MOST_LISTED = 6  # entries that moved, in words
ANY_ENTRIES = "entries of"  # in words for a choice of entries without a rule
ANY_ORDER = "the order"  # in words for an order without a rule


@dataclass(frozen=True)
class Axis:
    """A part of an array's axis, for words: several parts with their sizes make up one axis.

    Attributes:
        name: such as "head".
        size: how many entries it has.
        plural: of the name, for messages.
    """

    name: str
    size: int

    @property
    def plural(self) -> str:
        """Of the name."""
        irregular = {"query": "queries", "q|k|v": "q, k and v", "C": "channels", "B": "images", "class": "classes"}
        first, of, whole = self.name.partition(" of ")
        return irregular.get(self.name, f"{first}s{of}{whole}")


@dataclass(frozen=True)
class JoinedAxis(Axis):
    """An axis of several parts, such as (q|k|v, head, d).

    Attributes:
        parts: in order.
    """

    parts: tuple[Axis, ...] = ()

    @property
    def plural(self) -> str:
        """Of the parts' names."""
        return f"({', '.join(part.plural for part in self.parts)})"


def join(axis: Sequence[Axis]) -> Axis:
    """Several parts of an axis as one."""
    if len(axis) == 1:
        return axis[0]
    name = f"({', '.join(part.name for part in axis)})"
    return JoinedAxis(name, math.prod(part.size for part in axis), tuple(axis))


def words_along(part: Axis, source: Array) -> str:
    """How the entries along one axis were moved."""
    if isinstance(part, JoinedAxis):
        return _words_along_parts(part, source)
    size, index = len(source), np.arange(len(source))
    many = part.plural
    shift = int(source[0])
    if len(set(source.tolist())) == 1:
        return f"{entry(part, shift)} in place of all {many}"
    if np.array_equal(source, index[::-1]):
        return f"the {many} are in reversed order"
    if np.array_equal(source, (index + shift) % size):
        by = shift if shift <= size // 2 else shift - size
        return f"the {many} are rolled by {-by}"
    if np.array_equal(source, np.minimum(index + max(shift, 0), size - 1)):
        return f"the {many} are moved by {-shift}, the last one repeated"
    if (source < 0).any():
        zero = np.flatnonzero(source < 0)
        first = int(np.argmax(source >= 0))
        step = int(source[first]) - first
        if np.array_equal(source, np.where((index + step >= 0) & (index + step < size), index + step, -1)):
            return f"the {many} are moved by {-step}, zeros come in"
        rest = np.where(source < 0, index, source)
        others = "" if np.array_equal(rest, index) else f", {words_along(part, rest)}"
        return f"{_listed(part, zero)} {'is' if len(zero) == 1 else 'are'} 0{others}"
    moved = np.flatnonzero(source != index)
    if len(moved) == 2 and source[moved[0]] == moved[1] and source[moved[1]] == moved[0]:
        return f"{entry(part, int(moved[0]))} and {entry(part, int(moved[1]))} are exchanged"
    if half := _exchanged_blocks(source):
        return f"the {many} are exchanged in blocks of {half}"
    rules = words_of_rules(part, source)
    if len(moved) > 1 and rules:
        return rules[0]
    if len(moved) <= 4:
        listed = ", ".join(f"{entry(part, int(source[at]))} in place of {entry(part, int(at))}" for at in moved)
        return f"{listed}, as where {rules[0]}" if rules else listed
    if not np.ptp((source - index)[moved]):
        return _moved_by(part, source)
    order = ", ".join(map(str, source[:12])) + (", ..." if size > 12 else "")
    return f"the {many} are in {ANY_ORDER} {order}"


def words_of_rules(part: Axis, source: Array) -> list[str]:
    """The rules by which the entries along an axis are taken from others, the simplest first."""
    name = singular(part)
    letter = name[0] if len(name) > 1 and name[0].isalpha() else "i"
    return [
        f"odd {part.plural} are the one before" if rule == f"2 ({letter} // 2)" else f"{name} {letter} is {name} {rule}"
        for rule in index_rules(source, part.size, letter)
    ]


def other_words_along(part: Axis, source: Array) -> list[str]:
    """Further words for how the entries along one axis were moved: a small axis may follow from several rules."""
    others = [] if isinstance(part, JoinedAxis) else words_of_rules(part, source)
    shift, size, usual = int(source[0]), len(source), words_along(part, source)
    if (source >= 0).all() and np.array_equal(source, (np.arange(size) + shift) % size):
        others += [f"the {part.plural} are rolled by {by}" for by in (-shift, size - shift)]
    return [words for words in dict.fromkeys(others) if words != usual]


def _moved_by(part: Axis, source: Array) -> str:
    """Some entries that are those of so many before or after."""
    moved = np.flatnonzero(source != np.arange(len(source)))
    name, by = singular(part), int(source[moved[0]] - moved[0])
    if moved[-1] - moved[0] + 1 == len(moved):
        return f"{name}s {moved[0]} to {moved[-1]} are those of {name}s {moved[0] + by} to {moved[-1] + by}"
    first = ", ".join(map(str, moved[:3]))
    return f"{name}s {first}, ... are each that of {abs(by)} {'before' if by < 0 else 'after'}"


def _listed(part: Axis, entries: Array) -> str:
    if part.name == "q|k|v":
        return " and ".join("qkv"[entry] for entry in entries)
    listed = ", ".join(map(str, entries[:MOST_LISTED])) + (", ..." if len(entries) > MOST_LISTED else "")
    if len(entries) > 1:
        return f"{part.plural} {listed}"
    return f"the last {singular(part)}" if entries[0] == part.size - 1 else entry(part, int(entries[0]))


def _words_along_parts(axis: JoinedAxis, source: Array) -> str:
    """How the entries along an axis of several parts were moved: in runs of whole innermost parts where they are."""
    if (source < 0).any():
        return f"{(source < 0).sum()} of {len(source)} {ANY_ENTRIES} {axis.name} are 0"
    rows = [part.name for part in axis.parts]
    by = int(source[0])
    if len(set(source.tolist())) == 1:
        return f"{_names_of(axis.parts, by)} in place of all"
    if by and np.array_equal(source, (np.arange(len(source)) + by) % len(source)):
        by = by if by <= len(source) // 2 else by - len(source)
        return f"({', '.join(rows)}) are rolled as one list, by {-by}"
    moved = np.flatnonzero(source != np.arange(len(source)))
    if len(moved) == 2 and source[moved[0]] == moved[1] and source[moved[1]] == moved[0]:
        return f"{_names_of(axis.parts, int(moved[0]))} and {_names_of(axis.parts, int(moved[1]))} are exchanged"
    run = axis.parts[-1].size
    starts, outer = source[::run], axis.parts[:-1]
    if (
        np.array_equal(source, np.repeat(starts, run) + np.tile(np.arange(run), len(starts)))
        and not (starts % run).any()
    ):
        runs = starts // run
        names = [_names_of(outer, index) for index in range(len(runs))]
        if len(set(runs.tolist())) == 1:
            return f"{names[runs[0]]} in place of all"
        changes = [(to, int(at)) for to, at in enumerate(runs) if to != at]
        pairs = [(to, at) for to, at in changes if to < at and runs[at] == to]
        if 2 * len(pairs) == len(changes) <= 2 * MOST_LISTED:
            return ", ".join(f"{names[to]} and {names[at]} are exchanged" for to, at in pairs)
        if len(changes) <= MOST_LISTED:
            return ", ".join(f"{names[at]} in place of {names[to]}" for to, at in changes)
        return f"({', '.join(part.name for part in outer)}) are in {ANY_ORDER} {', '.join(map(str, runs[:12]))}, ..."
    if singular(axis) != axis.name and not np.ptp((source - np.arange(len(source)))[moved]):
        return _moved_by(axis, source)
    if maps := _maps_of_parts(axis, source):
        return "; ".join(words_along(part, own) for part, own in maps)
    if rules := words_of_rules(Axis(f"entry of {axis.name}", axis.size), source):
        return rules[0]
    return f"the {ANY_ENTRIES} {axis.name} are in {ANY_ORDER} {', '.join(map(str, source[:12]))}, ..."


def _maps_of_parts(axis: JoinedAxis, source: Array) -> list[tuple[Axis, Array]]:
    """For each part that moved the map of its own entries, if the axis's map is made of these; else none."""
    sizes, maps = [part.size for part in axis.parts], []
    for place, (part, indices) in enumerate(zip(axis.parts, np.unravel_index(source, sizes), strict=True)):
        own = np.moveaxis(indices.reshape(sizes), place, 0).reshape(part.size, -1)
        if np.ptp(own, axis=1).any():
            return []
        if not np.array_equal(own[:, 0], np.arange(part.size)):
            maps.append((part, own[:, 0]))
    return maps


def _names_of(parts: Sequence[Axis], index: int) -> str:
    indices = np.unravel_index(index, [part.size for part in parts])
    return " of ".join(entry(part, int(at)) for part, at in zip(parts, indices, strict=True))


def entry(part: Axis, index: int) -> str:
    if part.name == "q|k|v":
        return "qkv"[index]
    if isinstance(part, JoinedAxis):
        return _names_of(part.parts, index)
    return f"{singular(part)} {index}"


def singular(part: Axis) -> str:
    """The name of one entry along an axis."""
    if isinstance(part, JoinedAxis):
        first = {name.name.partition(" ")[0] for name in part.parts}
        return first.pop() if len(first) == 1 else part.name
    return {"B": "image", "C": "channel"}.get(part.name, part.name)


def _exchanged_blocks(source: Array) -> int:
    """The length of neighbouring blocks that are exchanged in pairs; 0 if there are none."""
    size = len(source)
    for length in range(1, size // 2 + 1):
        if size % (2 * length) == 0:
            swapped = np.arange(size).reshape(-1, 2, length)[:, ::-1].reshape(-1)
            if np.array_equal(source, swapped):
                return length
    return 0
