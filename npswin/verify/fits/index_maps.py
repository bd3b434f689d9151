"""The places in an array at which another array's numbers stand, as a rule: an index of each axis is a linear function.

A number at (i, j, ...) stands at the index a + b i + c j + ... along an axis of the other array, which may go around at
the axis's end or stay at its last entry; or the flat place in the other array's memory is such a function.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from npswin.types import Array
from npswin.verify.fits.parts import entries_text
from npswin.verify.fits.words import Axis, singular

FEWEST_PLACES = 8  # numbers that stand at one place each: fewer may obey a rule by chance
PLAIN, AROUND, AT_THE_END = "", ", around the end", ", the last one repeated"


@dataclass(frozen=True)
class LinearRule:
    """An index along one axis as a linear function of an array's indices.

    Attributes:
        start: the index for all indices 0.
        steps: what each index adds.
        end: what is where the axis ends.
    """

    start: int
    steps: tuple[int, ...]
    end: str = PLAIN

    def unlimited(self, indices: Array) -> Array:
        """The index (n) for indices (axes, n), without regard to the axis's end."""
        return self.start + np.asarray(self.steps, np.int64) @ indices

    def index(self, indices: Array, size: int) -> Array:
        """The index (n) for indices (axes, n), along an axis of this size; -1 outside of it."""
        at = self.unlimited(indices)
        if self.end == AROUND:
            return np.asarray(at % size)
        return np.clip(at, 0, size - 1) if self.end == AT_THE_END else np.where((at < 0) | (at >= size), -1, at)


@dataclass(frozen=True)
class IndexMap:
    """Where numbers of one array stand in another one.

    Attributes:
        rules: one for each axis of the other array, or one for its flat memory.
        sizes: of these.
        indices: (axes, n) of the numbers.
    """

    rules: tuple[LinearRule, ...]
    sizes: tuple[int, ...]
    indices: Array

    @property
    def places(self) -> Array:
        """(n) in the other array's memory, -1 outside of it."""
        at = np.stack([rule.index(self.indices, size) for rule, size in zip(self.rules, self.sizes, strict=True)])
        inside = (at >= 0).all(axis=0)
        return np.where(inside, np.ravel_multi_index(list(np.maximum(at, 0)), self.sizes), -1)

    def gives(self, numbers: Array, source: Array, tolerance: float) -> bool:
        """Whether numbers (n) are those of the source at the places."""
        places = self.places
        return bool((np.abs(np.where(places < 0, 0, source.reshape(-1)[places]) - numbers) <= tolerance).all())


def places_in(numbers: Array, source: Array, tolerance: float) -> Array | None:
    """(n) the flat place in the source of each number, -1 where it is not the only one; None where one is not there."""
    order = np.argsort(source, axis=None)
    ordered = source.reshape(-1)[order]
    first = np.searchsorted(ordered, numbers - tolerance)
    behind = np.searchsorted(ordered, numbers + tolerance, "right")
    if ((first == behind) & (np.abs(numbers) > tolerance)).any():
        return None
    return np.where(behind - first == 1, order[np.minimum(first, len(order) - 1)], -1)


def index_map(numbers: Array, indices: Array, source: Array, sizes: Sequence[int], tolerance: float) -> IndexMap | None:
    """The rule by which numbers stand in a source; None where they stand there without one, or do not all.

    Args:
        numbers: (n).
        indices: (axes, n) of the numbers in their own array.
        source: an array.
        sizes: of its axes, which may be split or joined.
        tolerance: the largest difference of equal numbers.
    """
    places = places_in(numbers, source, tolerance)
    if places is None or (places >= 0).sum() < FEWEST_PLACES:
        return None
    known, split = np.flatnonzero(places >= 0), tuple(sizes)
    along = np.unravel_index(places[known], split)
    rules = []
    for at, size in zip(along, split, strict=True):
        rule = linear_rule(indices[:, known], at, size)
        if rule is None:
            return None
        rules.append(rule)
    found = IndexMap(tuple(rules), split, indices)
    return found if found.gives(numbers, source, tolerance) else None


def linear_rule(indices: Array, found: Array, size: int) -> LinearRule | None:
    """The rule that gives the indices found (n) along an axis of this size; None if there is none."""
    for end in (PLAIN, AROUND, AT_THE_END):
        period = size if end == AROUND else 0
        steps = tuple(_step(indices, found, axis, period, end == AT_THE_END) for axis in range(len(indices)))
        starts = found - np.asarray(steps, np.int64) @ indices
        rule = LinearRule(_most_frequent(starts % period if period else starts), steps, end)
        if np.array_equal(rule.index(indices, size), found):
            return rule
    return None


def _step(indices: Array, found: Array, axis: int, period: int, may_stay: bool) -> int:
    """By how much the index found mostly grows from one entry along an axis to the next.

    Args:
        indices, found: as for `linear_rule`.
        axis: the axis.
        period: up to which the index is known, or 0.
        may_stay: whether the index may stay the same at an end.
    """
    order = np.lexsort((indices[axis], *np.delete(indices, axis, axis=0)))
    grown, by = np.diff(found[order]), np.diff(indices[axis][order])
    others = np.diff(np.delete(indices, axis, axis=0)[:, order], axis=1)
    neighbours = ~others.any(axis=0) & ((by == 1) if period else (by > 0))
    if may_stay and (neighbours & (grown != 0)).any():
        neighbours &= grown != 0
    if not neighbours.any():
        return 0
    if not period:
        return _most_frequent(grown[neighbours] / by[neighbours])
    step = _most_frequent(grown[neighbours] % period)
    return step if 2 * step <= period else step - period


def _most_frequent(numbers: Array) -> int:
    values, counts = np.unique(numbers, return_counts=True)
    return int(values[counts.argmax()])


def map_words(found: IndexMap, parts: Sequence[Axis], of_source: Sequence[Axis]) -> str:
    """Where in the source the numbers stand, such as "at image 0, 2 rows before".

    Args:
        found: the rule.
        parts: of the axes of the array that has the numbers.
        of_source: of the source's.
    """
    words, names = [], [part.name for part in parts]
    for rule, part in zip(found.rules, of_source, strict=True):
        at = rule.unlimited(found.indices)
        own = found.indices[names.index(part.name)] if names.count(part.name) == 1 else None
        by = None if own is None or np.ptp(at - own) else _shortest(int(at[0] - own[0]), part.size, rule.end)
        if by is not None and (not by or (rule.index(found.indices, part.size) == own).all()):
            words += [f"{singular(part)}{rule.end}"] if rule.end else []
        elif part.size > 1 and not any(rule.steps):
            words.append(entries_text(part, at[:1]))
        elif by is not None and any(rule.steps):
            moved = part.plural if abs(by) > 1 else singular(part)
            words.append(f"{abs(by)} {moved} {'before' if by < 0 else 'after'}{rule.end}")
        elif part.size > 1:
            words.append(f"{singular(part)} = {_formula(rule, parts, part.size)}{rule.end}")
    return f"at {', '.join(words)}" if words else "in the same places"


def _shortest(by: int, size: int, end: str) -> int:
    return (by + size // 2) % size - size // 2 if end == AROUND else by


def _formula(rule: LinearRule, parts: Sequence[Axis], size: int) -> str:
    """The index as a number in the list of some neighbouring axes, or as a sum."""
    used = [place for place, step in enumerate(rule.steps) if step]
    several = parts[used[0] : used[-1] + 1]
    strides = np.cumprod([1, *(part.size for part in several[:0:-1])])[::-1]
    differ = np.asarray(rule.steps[used[0] : used[-1] + 1]) - strides
    if max(map(abs, rule.steps)) > 1 < len(several) and not (differ % size if rule.end == AROUND else differ).any():
        start = f" + {rule.start}" if rule.start else ""
        return f"the number in the list of ({', '.join(map(singular, several))}){start}"
    terms = [
        f"{'' if step == 1 else '-' if step == -1 else f'{step} '}{singular(part)}"
        for step, part in zip(rule.steps, parts, strict=True)
        if step
    ]
    return " + ".join([*terms, *([str(rule.start)] if rule.start else [])]).replace("+ -", "- ")


def memory_words(found: IndexMap, parts: Sequence[Axis]) -> str:
    """Where in the source's memory the numbers stand, by its flat index."""
    (rule,), offset = found.rules, memory_offset(found, parts)
    if offset is None:
        return f"at {_formula(rule, parts, found.sizes[0])} in its memory{rule.end}"
    if not offset:
        return "at the same places in memory"
    return f"its memory read {abs(offset)} numbers {'before' if offset < 0 else 'after'}{rule.end}"


def memory_offset(found: IndexMap, parts: Sequence[Axis]) -> int | None:
    """By how much a number's place in the source's memory exceeds its own; None if that is not the same for all."""
    own = np.ravel_multi_index(list(found.indices), [part.size for part in parts])
    offsets = found.rules[0].unlimited(found.indices) - own
    return None if np.ptp(offsets) else int(offsets[0])
