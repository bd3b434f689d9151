"""Rounded numbers: to 16 bits, or to a grid, as quantization does."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from npswin.types import Array
from npswin.verify.fits.explanation import Evidence, Explanation, Pair
from npswin.verify.graph.precision import rounded

MOST_LEVELS = 257  # of a grid that is recognized: 8 bits
GROUPS = (4, 8, 16, 32, 64, 128)  # numbers that share a grid
SHORTER = {"float8 (e4m3)": 3, "float8 (e5m2)": 2, "float4 (e2m1)": 1}  # binary digits after the first one
FEWEST_LEVELS = 3
LARGEST_SHARE = 0.5  # of the numbers that may be different, on a grid that is recognized from them alone


def rounded_numbers(evidence: Evidence) -> Iterator[Explanation]:
    """16 bits, then a grid for all numbers, then one for each entry along an axis."""
    found, right = evidence.found, evidence.right
    for precision in ("float16", "bfloat16", *SHORTER):
        if precision in SHORTER:
            value = _with_digits(right, SHORTER[precision])
        else:
            value = rounded(right.astype(np.float32), precision).astype(np.float64)
        if evidence.agrees(value):
            yield Explanation(f"the numbers are rounded to {precision}", _rounding(value - right))
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


def _with_digits(numbers: Array, digits: int) -> Array:
    """The numbers rounded to so many binary digits after the first one, of any exponent."""
    _, exponent = np.frexp(numbers)
    step = np.ldexp(1.0, exponent - 1 - digits)
    return np.rint(numbers / step) * step


def _rounding(difference: Array) -> Pair:
    """The same roundings; the derivative passes straight through."""
    return (lambda x: (x + difference.astype(x.dtype), None)), (lambda dy, _: dy)


class _Grid(NamedTuple):
    """Numbers that are rounded to a grid, (rows, numbers), and of the first row the step and the number of steps."""

    value: Array
    step: float
    levels: int


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
                        return _Grid(each, float(step[0, 0]), round(float(np.abs(each[0]).max() / step[0, 0])))
    step = _step(found[0], tolerance) if len(found) == 1 else None
    if step is not None and np.abs(found - right).max() <= 0.51 * step + tolerance:
        return _Grid(np.rint(found / step) * step, step, round(float(np.abs(found).max() / step)))
    return None


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
    bits = next((bits for bits in range(2, 9) if grid.levels <= 2 ** (bits - 1)), 8)
    return f"step {grid.step:.4g}, with up to {grid.levels} steps from 0, as int{bits} has them"
