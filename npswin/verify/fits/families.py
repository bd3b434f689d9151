"""The families of explanations, the simplest first."""

from collections.abc import Iterator

import numpy as np

from npswin.types import Array
from npswin.verify.fits.codebook import few_values
from npswin.verify.fits.combinations import DIFFERENCE, MEAN, PRODUCT, QUOTIENT, SUM, weighted_sum
from npswin.verify.fits.explanation import (
    Evidence,
    Explanation,
    Family,
    Vector,
    gathered,
    plus,
    replaced_by,
    times,
)
from npswin.verify.fits.factors import decimal, factor_words, simple_factor
from npswin.verify.fits.functions import curve, scalar_function, two_slopes
from npswin.verify.fits.memory import moved_in_memory
from npswin.verify.fits.mixing import mixed_entries
from npswin.verify.fits.parts import a_part_differs
from npswin.verify.fits.positions import find_placement
from npswin.verify.fits.pruned import smallest_are_zero
from npswin.verify.fits.rank import low_rank, low_rank_added
from npswin.verify.fits.resampled import resampled
from npswin.verify.fits.rounding import rounded_numbers
from npswin.verify.fits.rows import function_of_rows
from npswin.verify.fits.scales import factors_of_rows_and_columns, scales_along_the_other_axis
from npswin.verify.fits.sparse import constant_in_places
from npswin.verify.fits.words import Axis

FEWEST_PER_NUMBER = 4  # found numbers for each fitted one, at least
NEAR_ONE = 1e-3  # a factor nearer to 1 is a small error of another kind


def explanations(evidence: Evidence) -> Iterator[Explanation]:
    """Each explanation of the found array, the simplest first; none where it is right or nothing fits."""
    if evidence.found.shape != evidence.right.shape or evidence.agrees(evidence.right):
        return
    if not np.isfinite(evidence.right).all():
        return
    with np.errstate(all="ignore"):
        if not np.isfinite(evidence.found).all():
            yield from a_part_differs(evidence)
            return
        for family in FAMILIES:
            yield from family(evidence)


def first_explanation(evidence: Evidence) -> Explanation | None:
    """The explanation with the fewest fitted numbers, of several the simplest; None if there is none."""
    best: Explanation | None = None
    for explanation in explanations(evidence):
        if best is None or explanation.fitted < best.fitted:
            best = explanation
        if not best.fitted:
            break
    return best


def linear_explanations(evidence: Evidence) -> Iterator[Explanation]:
    """Those by which sums stay sums: factors, mixtures, and numbers in other places."""
    if evidence.agrees(evidence.right):
        return
    for family in (_factor, _placement, mixed_entries, _per_entry):
        yield from family(evidence)


def _constant(evidence: Evidence) -> Iterator[Explanation]:
    if np.ptp(evidence.found) <= evidence.tolerance and evidence.found.size > 1:
        number = float(decimal(float(evidence.found.mean()), evidence.tolerance))
        number = 0.0 if abs(number) <= evidence.tolerance else number
        array = np.full_like(evidence.found, number)
        yield Explanation(f"all numbers are {number:.6g}", replaced_by(array), int(number not in (0, 1)))


def _factor(evidence: Evidence) -> Iterator[Explanation]:
    found, right = evidence.found, evidence.right
    squares = float((right * right).sum())
    factor = float((found * right).sum()) / squares if squares else 0.0
    if found.size < FEWEST_PER_NUMBER or not factor or abs(factor - 1) < NEAR_ONE:
        return
    if evidence.agrees(factor * right, max(1.0, abs(factor))):
        factor, words = simple_factor(factor, evidence.tolerance / float(np.abs(right).max()))
        yield Explanation(f"all numbers are multiplied by {words}", times(factor), 1)


def _placement(evidence: Evidence) -> Iterator[Explanation]:
    placement = find_placement(evidence.found, evidence.right, evidence.axes, evidence.tolerance)
    if placement is not None:
        yield Explanation(placement.words, gathered(placement.positions), placement.arbitrary, also=placement.also)


def _another(evidence: Evidence) -> Iterator[Explanation]:
    if np.ptp(evidence.found) <= evidence.tolerance:
        return
    for name, other in evidence.others.items():
        if other.size != evidence.found.size:
            continue
        array = other.reshape(evidence.found.shape)
        if evidence.agrees(array):
            yield Explanation(f"it is {name}", replaced_by(array), source=name)
        elif evidence.agrees((array + evidence.right) / 2):
            pair = replaced_by((array + evidence.right) / 2)
            yield Explanation(f"it is the mean of itself and {name}", pair, 0, name, MEAN)
        elif evidence.agrees(array + evidence.right, 2):
            yield Explanation(f"{name} is added to it", plus(array), 0, name, SUM)
        elif evidence.agrees(evidence.right - array, 2):
            yield Explanation(f"{name} is subtracted from it", plus(-array), 0, name, DIFFERENCE)


def _another_elsewhere(evidence: Evidence) -> Iterator[Explanation]:
    for name, other in evidence.others.items():
        if other.size == evidence.found.size:
            right = other.reshape(evidence.found.shape)
            placement = find_placement(evidence.found, right, evidence.axes, evidence.tolerance)
            if placement is not None:
                array = right.reshape(-1)[placement.positions]
                yield Explanation(f"it is {name}, and {placement.words}", replaced_by(array))
                return


def _blend(evidence: Evidence) -> Iterator[Explanation]:
    """right + t (other - right), such as an average over several parameters."""
    for name, other in evidence.others.items():
        if other.size != evidence.found.size or evidence.found.size < 2 * FEWEST_PER_NUMBER:
            continue
        step = other.reshape(evidence.found.shape) - evidence.right
        squares = float((step * step).sum())
        share = float(((evidence.found - evidence.right) * step).sum()) / squares if squares else 0.0
        if abs(share) > NEAR_ONE and evidence.agrees(evidence.right + share * step, 2):
            words = f"{share:.4g} of {name} and {1 - share:.4g} of itself"
            pair = replaced_by(evidence.right + share * step)
            yield Explanation(f"it is {words}", pair, 1, name, weighted_sum(1 - share, share))


def _affine(evidence: Evidence) -> Iterator[Explanation]:
    found, right = evidence.found, evidence.right
    if found.size < 2 * FEWEST_PER_NUMBER:
        return
    offset = float((found - right).mean())
    if abs(offset) > 4 * evidence.tolerance and evidence.agrees(right + offset, 2):
        yield Explanation(f"{decimal(offset, evidence.tolerance)} is added to all numbers", plus(offset), 1)
        return
    slope, offset = _line(found.reshape(-1), right.reshape(-1))
    if abs(slope) > NEAR_ONE and evidence.agrees(slope * right + offset, max(2.0, 2 * abs(slope))):
        pair = (lambda x: (slope * x + offset, None)), (lambda dy, _: slope * dy)
        largest = float(np.abs(right).max())
        words = f"{factor_words(slope, evidence.tolerance / largest)} x + {decimal(offset, evidence.tolerance)}"
        yield Explanation(f"each number x is {words}", pair, 2)


def _line(found: Array, right: Array) -> tuple[float, float]:
    centred = right - right.mean()
    squares = float((centred * centred).sum())
    slope = float((centred * found).sum()) / squares if squares else 0.0
    return slope, float(found.mean() - slope * right.mean())


def _per_entry(evidence: Evidence) -> Iterator[Explanation]:
    """A factor, or a factor and an offset, for each entry along an axis or two."""
    parts = [part for axis in evidence.axes for part in axis]
    shape = [part.size for part in parts]
    found, right = evidence.found.reshape(shape), evidence.right.reshape(shape)
    places: list[tuple[int, ...]] = [(axis,) for axis in range(len(parts))]
    places += [(first, second) for first in range(len(parts)) for second in range(first + 1, len(parts))]
    for axes in places:
        rest = tuple(axis for axis in range(len(parts)) if axis not in axes)
        count = found.size // max(1, int(np.prod([shape[axis] for axis in rest])))
        if found.size < 2 * FEWEST_PER_NUMBER * count or count == 1:
            continue
        where = " and ".join(_each(parts[axis]) for axis in axes)
        squares = (right * right).sum(rest, keepdims=True)
        factor = (found * right).sum(rest, keepdims=True) / np.where(squares, squares, 1)
        if evidence.agrees((factor * right).reshape(evidence.found.shape), max(1.0, float(np.abs(factor).max()))):
            vector = Vector(factor, tuple(shape), True, where)
            pair = _in_parts(times(factor), shape)
            yield Explanation(factors_words(where, axes, factor), pair, count, vectors=(vector,))
            return
        offset = (found - right).mean(rest, keepdims=True)
        if evidence.agrees((right + offset).reshape(evidence.found.shape), 2):
            first = ", ".join(f"{number:.4g}" for number in offset.reshape(-1)[:3])
            words = f"a number for each {where} is added: {first}, ..."
            vector = Vector(offset, tuple(shape), False, where)
            yield Explanation(words, _in_parts(plus(offset), shape), count, vectors=(vector,))
            return
    for axis in range(len(parts)):
        rest = tuple(other for other in range(len(parts)) if other != axis)
        if shape[axis] < 2 or found.size < 4 * FEWEST_PER_NUMBER * shape[axis]:
            continue
        mean, centred = right.mean(rest, keepdims=True), right - right.mean(rest, keepdims=True)
        squares = (centred * centred).sum(rest, keepdims=True)
        slope = (centred * found).sum(rest, keepdims=True) / np.where(squares, squares, 1)
        offset = found.mean(rest, keepdims=True) - slope * mean
        if evidence.agrees(
            (slope * right + offset).reshape(evidence.found.shape), max(2.0, 2 * float(np.abs(slope).max()))
        ):
            where = _each(parts[axis])
            words = f"each {where} has a factor and an offset of its own"
            scale, add = _in_parts(times(slope), shape), _in_parts(plus(offset), shape)
            both = Vector(slope, tuple(shape), True, where), Vector(offset, tuple(shape), False, where)
            yield Explanation(words, _chain(scale, add), 2 * shape[axis], vectors=both)
            return


def factors_words(where: str, axes: tuple[int, ...], factor: Array) -> str:
    """The factors of the entries along an axis, or the first ones of those along two."""
    flat = factor.reshape(-1)
    if len(axes) == 1:
        zero, one = np.flatnonzero(np.abs(flat) < NEAR_ONE), np.flatnonzero(np.abs(flat - 1) < NEAR_ONE)
        others = np.setdiff1d(np.arange(flat.size), np.concatenate([zero, one]))
        words = []
        if zero.size:
            words.append(f"{where} {', '.join(map(str, zero[:8]))} {'is' if zero.size == 1 else 'are'} 0")
        if others.size:
            same = np.ptp(flat[others]) < NEAR_ONE
            listed = f"{flat[others[0]]:.6g}" if same else ", ".join(f"{flat[at]:.4g}" for at in others[:4])
            which = f"{where} {', '.join(map(str, others[:8]))}" if one.size else f"each {where}"
            verb = "is" if others.size == 1 or not one.size else "are each"
            words.append(f"{which} {verb} multiplied by {listed}{'' if same or others.size <= 4 else ', ...'}")
        return ", ".join(words)
    return f"each {where} is multiplied by a factor: {', '.join(f'{number:.4g}' for number in flat[:4])}, ..."


def _each(part: Axis) -> str:
    return {"B": "image", "C": "channel"}.get(part.name, part.name)


def _in_parts(pair: tuple, shape: list[int]) -> tuple:
    """A pair on an array whose axes are split into parts."""

    def forward(x: Array) -> tuple[Array, object]:
        y, cache = pair[0](x.reshape(shape))
        return y.reshape(x.shape), cache

    return forward, lambda dy, cache: pair[1](dy.reshape(shape), cache).reshape(dy.shape)


def _chain(first: tuple, second: tuple) -> tuple:
    def forward(x: Array) -> tuple[Array, object]:
        middle, one = first[0](x)
        y, other = second[0](middle)
        return y, (one, other)

    return forward, lambda dy, caches: first[1](second[1](dy, caches[1]), caches[0])


def _product(evidence: Evidence) -> Iterator[Explanation]:
    """The right numbers times another array's, or over them."""
    for name, other in evidence.others.items():
        if other.size != evidence.found.size or np.ptp(other) <= evidence.tolerance:
            continue
        array = other.reshape(evidence.found.shape)
        if evidence.agrees(array * evidence.right, max(1.0, float(np.abs(array).max()))):
            yield Explanation(f"it is multiplied by {name}", times(array), 0, name, PRODUCT)
        elif array.all() and evidence.agrees(evidence.right / array, max(1.0, float((1 / np.abs(array)).max()))):
            yield Explanation(f"it is divided by {name}", times(1 / array), 0, name, QUOTIENT)


def _same_along_axis(evidence: Evidence) -> Iterator[Explanation]:
    """The same numbers are added to every entry along an axis, such as a position embedding to every image."""
    parts = [part for axis in evidence.axes for part in axis]
    shape = [part.size for part in parts]
    difference = (evidence.found - evidence.right).reshape(shape)
    for place, part in enumerate(parts):
        mean = difference.mean(place, keepdims=True)
        if part.size > 1 and np.abs(difference - mean).max() <= 2 * evidence.tolerance:
            words = f"the same numbers, up to {np.abs(mean).max():.4g}, are added to all {part.plural}"
            rest = [_each(other) for other in parts if other is not part]
            vector = Vector(mean, tuple(shape), False, ", ".join(rest))
            yield Explanation(words, _in_parts(plus(mean), shape), mean.size, vectors=(vector,))
            return


FAMILIES: tuple[Family, ...] = (
    _constant,
    _factor,
    _another,
    smallest_are_zero,
    moved_in_memory,
    _placement,
    rounded_numbers,
    scales_along_the_other_axis,
    a_part_differs,
    scalar_function,
    constant_in_places,
    _product,
    _another_elsewhere,
    function_of_rows,
    _affine,
    _blend,
    resampled,
    few_values,
    low_rank,
    mixed_entries,
    _per_entry,
    factors_of_rows_and_columns,
    _same_along_axis,
    low_rank_added,
    two_slopes,
    curve,
)
