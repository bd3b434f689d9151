"""Rounded numbers: to 16 bits, or to a grid, as quantization does."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np

from npswin.types import Array
from npswin.verify.fits.explanation import Evidence, Explanation, Pair
from npswin.verify.fits.multiples import rounded_to_multiples
from npswin.verify.fits.number_formats import SCALED, UNSCALED
from npswin.verify.graph.precision import rounded

Rows = Callable[[Array], Array]

MOST_LEVELS = 257  # of a grid that is recognized: 8 bits
MOST_GROUPS = 12  # sizes of groups that are tried
# Binary digits after the first one of floats with a scale that is not known.
DIGITS = {"float8 (e4m3)": 3, "float8 (e5m2)": 2, "float4 (e2m1)": 1}
FEWEST_LEVELS = 3
FEWEST_ROUNDED = 8  # numbers of an array that few bits explain
FEWEST_LIMITED = 16  # numbers of a row whose limit is that of the found ones
SAMPLE = 32  # rows, and numbers of a row, that are looked at first
SAMPLE_OF_ROWS = 2048  # numbers of whole rows, likewise
STEP_TO_TOLERANCE = 4.0  # a grid is no finer
ROUNDED_SHARE = 0.2  # of the numbers, at least, is changed by a rounding to few levels
LARGEST_SHARE = 0.5  # of the numbers that may be different, on a grid that is recognized from them alone


def rounded_numbers(evidence: Evidence) -> Iterator[Explanation]:
    """16 bits, then few bits or a grid for all numbers, then with a scale or grid for each entry along an axis."""
    found, right = evidence.found, evidence.right
    for words, value in _in_fewer_bits(right):
        if evidence.agrees(value):
            yield Explanation(f"the numbers are rounded to {words}", _rounding(value - right))
            return
    if found.size < FEWEST_ROUNDED or (np.abs(found - right) > evidence.tolerance).mean() < ROUNDED_SHARE:
        return
    for words, rounding in UNSCALED.items():
        if evidence.agrees(value := rounding(right)):
            yield Explanation(f"the numbers are {words}", _rounding(value - right))
            return
    for words, value in rounded_to_multiples(found, right, evidence.tolerance):
        yield Explanation(f"the numbers are {words}", _rounding(value - right))
        return
    if without := _without_zero_point(right, evidence):
        yield without
        return
    for which, count, to_rows, back in _groupings(evidence):
        rows = to_rows(found), to_rows(right)
        few = [array[:: max(1, array.size // SAMPLE_OF_ROWS)] for array in rows]
        for words, rounding in SCALED.items():
            if _agree(few[0], rounding(few[1]), evidence.tolerance) and evidence.agrees(
                value := back(rounding(rows[1]))
            ):
                yield Explanation(f"the numbers are {words}{which}", _rounding(value - right), 0)
                return
        if grid := _grid(*rows, evidence.tolerance):
            own = "a grid of" if not which else f"a grid of its own{which},"
            words = f"the numbers are rounded to {own} {_grid_words(grid)}"
            yield Explanation(words, _rounding(back(grid.value) - right), count)
            return


def _groupings(evidence: Evidence) -> Iterator[tuple[str, int, Rows, Rows]]:
    """The whole array, the entries along each axis, and groups of neighbours: words, how many, to rows and back."""
    shape = evidence.found.shape

    def whole(rows: Array) -> Array:
        return rows.reshape(shape)

    yield "", 1, partial(_in_groups, size=evidence.found.size), whole
    if len(shape) < 2:
        return
    for place, axis in enumerate(evidence.axes):
        if shape[place] > 1:
            name = {"B": "image", "C": "channel"}.get(axis[-1].name, axis[-1].name)
            back = partial(_from_entries, place=place, shape=shape)
            yield f" for each {name}", shape[place], partial(_entries, place=place), back
    groups = [group for group in range(2, shape[-1]) if shape[-1] % group == 0]
    for group in groups[:MOST_GROUPS]:
        yield f" for each {group} of a row", evidence.found.size // group, partial(_in_groups, size=group), whole


def _in_groups(x: Array, size: int) -> Array:
    return x.reshape(-1, size)


def _entries(x: Array, place: int) -> Array:
    return np.moveaxis(x, place, 0).reshape(x.shape[place], -1)


def _from_entries(rows: Array, place: int, shape: tuple[int, ...]) -> Array:
    return np.moveaxis(rows.reshape(shape[place], *shape[:place], *shape[place + 1 :]), 0, place)


def _in_fewer_bits(numbers: Array) -> Iterator[tuple[str, Array]]:
    """The numbers rounded to 16 bits, or to the digits of shorter floats."""
    for precision in ("float16", "bfloat16"):
        yield precision, rounded(numbers.astype(np.float32), precision).astype(np.float64)
    for name, digits in DIGITS.items():
        _, exponent = np.frexp(numbers)
        step = np.ldexp(1.0, exponent - 1 - digits)
        yield f"{name}'s digits, with any exponent", np.rint(numbers / step) * step


def _without_zero_point(right: Array, evidence: Evidence) -> Explanation | None:
    """Unsigned integers times a step, without the zero point that should have been subtracted from them."""
    low, high = float(right.min()), float(right.max())
    for bits in (8, 4):
        step = (high - low) / (2**bits - 1)
        if low >= 0 or step <= evidence.tolerance:
            return None
        for integers in (np.rint(right / step) - np.rint(low / step), np.rint((right - low) / step)):
            if evidence.agrees(integers * step):
                words = f"the numbers are unsigned integers of {bits} bits times {step:.4g}, without their zero point"
                return Explanation(words, _rounding(integers * step - right), 1)
    return None


def _rounding(difference: Array) -> Pair:
    """The same roundings; the derivative passes straight through."""
    return (lambda x: (x + difference.astype(x.dtype), None)), (lambda dy, _: dy)


class _Grid(NamedTuple):
    """Numbers that are rounded to a grid.

    Attributes:
        value: (rows, numbers).
        step: of the first row's grid.
        divisor: the step by which its numbers were divided, if that is another one.
        levels: how many steps its numbers are from 0, at most.
        signed: whether some are negative.
    """

    value: Array
    step: float
    divisor: float
    levels: int
    signed: bool


def _grid(found: Array, right: Array, tolerance: float) -> _Grid | None:
    """The grid to which each row is rounded, or None.

    The steps that are tried are those of the usual ways to choose one: the largest number, or the range, over the
    number of levels.

    Args:
        found, right: (rows, numbers).
        tolerance: the largest difference of equal numbers.
    """
    known = (right, found) if found.shape[1] >= FEWEST_LIMITED else (right,)  # the limit itself is fitted to the found
    for largest in (np.abs(array).max(axis=1, keepdims=True) for array in known):
        if (grid := _grid_up_to(found, right, tolerance, largest)) is not None:
            return grid
    step = _step(found[0], tolerance) if len(found) == 1 else None
    if step is not None and np.abs(found - right).max() <= 0.51 * step + tolerance:
        return _new_grid(np.rint(found / step) * step, step, step)
    return None


def _new_grid(value: Array, step: float, divisor: float) -> _Grid:
    return _Grid(value, step, divisor, round(float(np.abs(value[0]).max() / step)), bool((value < 0).any()))


def _grid_up_to(found: Array, right: Array, tolerance: float, largest: Array) -> _Grid | None:
    """The grid of the usual steps for these largest numbers of rows; numbers above are limited."""
    span = np.maximum(right.max(axis=1, keepdims=True), 0) - np.minimum(right.min(axis=1, keepdims=True), 0)
    if not largest.all():
        return None
    few = found[:: max(1, len(found) // SAMPLE), :: max(1, found.shape[1] // SAMPLE)]
    for bits in (8, 4, 6, 5, 7, 3, 2):
        half = 2 ** (bits - 1)
        steps = (largest / (half - 1), largest / half, largest / (half - 0.5), span / (2 * half - 1))
        for step in steps:
            in_steps = few / step[:: max(1, len(found) // SAMPLE)]
            off = np.abs(in_steps - np.rint(in_steps)) * step[:: max(1, len(found) // SAMPLE)]
            if step.min() < STEP_TO_TOLERANCE * tolerance or off.max() > tolerance:
                continue
            for divisor in (step, *(other for other in steps if other is not step)):
                for value in _on_grid(right / divisor, step, half):
                    if _agree(found, value, tolerance):
                        return _new_grid(value, float(step[0, 0]), float(divisor[0, 0]))
    return None


def _on_grid(right: Array, step: Array, half: int) -> Iterator[Array]:
    """Numbers in steps, rounded in each usual way, limited or not, times the step."""
    for rounding in (np.rint, np.trunc, np.floor, np.ceil):
        integers = rounding(right)
        yield integers * step
        for low in (-half, -(half - 1)):
            yield np.clip(integers, low, half - 1) * step


def _agree(found: Array, value: Array, tolerance: float) -> bool:
    return bool(np.abs(found - value).max() <= tolerance)


def _step(numbers: Array, tolerance: float) -> float | None:
    """The step of the grid on which all numbers lie, or None; it has to be well above the tolerance."""
    values = np.sort(numbers)
    gaps = np.diff(values)
    gaps = gaps[gaps > 2 * tolerance]
    if not FEWEST_LEVELS <= len(gaps) + 1 <= min(MOST_LEVELS, LARGEST_SHARE * numbers.size):
        return None
    smallest = float(gaps.min())
    for parts in range(1, 9):  # the smallest gap may be several steps
        step = smallest / parts
        for _ in range(3):  # more exact, by the whole range
            step = float(np.ptp(values) / max(1.0, np.rint(np.ptp(values) / step)))
        remainder = np.abs(numbers / step - np.rint(numbers / step)).max()
        if remainder * step <= 2 * tolerance and step > 20 * tolerance and np.ptp(values) / step < MOST_LEVELS:
            return step
    return None


def _grid_words(grid: _Grid) -> str:
    bits = next((bits for bits in range(2, 9) if grid.levels <= 2 ** (bits - grid.signed) - (not grid.signed)), 8)
    kind = "int" if grid.signed else "uint"
    other = f"; they were divided by another step, {grid.divisor:.4g}" if grid.divisor != grid.step else ""
    return f"step {grid.step:.4g}, with up to {grid.levels} steps from 0, as {kind}{bits} has them{other}"
