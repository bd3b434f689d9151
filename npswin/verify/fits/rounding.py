"""Rounded numbers: to 16 bits, or to a grid, as quantization does."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from npswin.types import Array
from npswin.verify.fits.explanation import Evidence, Explanation, Pair
from npswin.verify.graph.precision import rounded

MOST_LEVELS = 257  # of a grid that is recognized: 8 bits
GROUPS = (4, 8, 16, 32, 64, 128)  # numbers that share a grid
# Binary digits after the first one, the logarithm of the smallest number, and the largest number.
SHORTER = {"float8 (e4m3)": (3, -9, 448.0), "float8 (e5m2)": (2, -16, 57344.0), "float4 (e2m1)": (1, -1, 6.0)}
FEWEST_LEVELS = 3
LARGEST_SHARE = 0.5  # of the numbers that may be different, on a grid that is recognized from them alone


def rounded_numbers(evidence: Evidence) -> Iterator[Explanation]:
    """16 bits, then a grid for all numbers, then one for each entry along an axis."""
    found, right = evidence.found, evidence.right
    for words, value in _in_fewer_bits(right):
        if evidence.agrees(value):
            yield Explanation(f"the numbers are rounded to {words}", _rounding(value - right))
            return
    if without := _without_zero_point(right, evidence):
        yield without
        return
    if grid := _grid(found.reshape(1, -1), right.reshape(1, -1), evidence.tolerance):
        words = f"the numbers are rounded to a grid of {_grid_words(grid)}"
        yield Explanation(words, _rounding(grid.value.reshape(found.shape) - right), 1)
        return
    for place, axis in enumerate(evidence.axes):
        if found.ndim < 2 or found.shape[place] == 1:
            continue
        rows = [np.moveaxis(array, place, 0).reshape(array.shape[place], -1) for array in (found, right)]
        if grid := _grid(rows[0], rows[1], evidence.tolerance):
            name = {"B": "image", "C": "channel"}.get(axis[-1].name, axis[-1].name)
            words = f"the numbers are rounded, each {name} to a grid of its own, {_grid_words(grid)}"
            value = np.moveaxis(grid.value.reshape(np.moveaxis(right, place, 0).shape), 0, place)
            yield Explanation(words, _rounding(value - right), found.shape[place])
            return
    for group in GROUPS if found.ndim > 1 else ():
        if found.shape[-1] % group == 0 and group < found.shape[-1]:
            grouped = _grid(found.reshape(-1, group), right.reshape(-1, group), evidence.tolerance)
            if grouped:
                words = f"the numbers are rounded, each {group} of a row to a grid of their own, {_grid_words(grouped)}"
                value = grouped.value.reshape(found.shape)
                yield Explanation(words, _rounding(value - right), found.size // group)
                return


def _in_fewer_bits(numbers: Array) -> Iterator[tuple[str, Array]]:
    """The numbers rounded to short floating-point numbers."""
    for precision in ("float16", "bfloat16"):
        yield precision, rounded(numbers.astype(np.float32), precision).astype(np.float64)
    largest = float(np.abs(numbers).max(initial=0))
    for name, (digits, least, most) in SHORTER.items():
        yield name, _with_digits(numbers, digits, least, most)
        if largest:
            scale = largest / most
            yield (
                f"{name}, scaled so that the largest is {most:g}",
                scale * _with_digits(numbers / scale, digits, least, most),
            )
        yield f"{name}'s digits, with any exponent", _with_digits(numbers, digits, -np.inf, np.inf)


def _with_digits(numbers: Array, digits: int, least: float, most: float) -> Array:
    """The numbers rounded to so many binary digits after the first one, but not to less than 2 to the power `least`."""
    _, exponent = np.frexp(numbers)
    step = np.exp2(np.maximum(exponent - 1.0 - digits, least))
    return np.clip(np.rint(numbers / step) * step, -most, most)


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
        levels: how many steps its numbers are from 0, at most.
        signed: whether some are negative.
    """

    value: Array
    step: float
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
    largest = np.abs(right).max(axis=1, keepdims=True)
    span = np.maximum(right.max(axis=1, keepdims=True), 0) - np.minimum(right.min(axis=1, keepdims=True), 0)
    if not largest.all():
        return None
    for bits in (8, 4, 6, 5, 7, 3, 2):
        half = 2 ** (bits - 1)
        for step in (largest / (half - 1), largest / half, largest / (half - 0.5), span / (2 * half - 1)):
            for rounding in (np.rint, np.trunc, np.floor):
                value = rounding(right / step) * step
                limited = np.clip(value, -half * step, (half - 1) * step)
                for each in (value, limited):
                    if _agree(found, each, tolerance):
                        return _new_grid(each, float(step[0, 0]))
    step = _step(found[0], tolerance) if len(found) == 1 else None
    if step is not None and np.abs(found - right).max() <= 0.51 * step + tolerance:
        return _new_grid(np.rint(found / step) * step, step)
    return None


def _new_grid(value: Array, step: float) -> _Grid:
    return _Grid(value, step, round(float(np.abs(value[0]).max() / step)), bool((value < 0).any()))


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
    return f"step {grid.step:.4g}, with up to {grid.levels} steps from 0, as {kind}{bits} has them"
