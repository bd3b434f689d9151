"""Grids of equal steps to which numbers are rounded: of the usual steps, or as the found numbers show them."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from npswin.types import Array

MOST_LEVELS = 257  # of a grid that is recognized: 8 bits
FEWEST_LEVELS = 3
FEWEST_LIMITED = 16  # numbers of a row whose limit is that of the found ones
SAMPLE = 32  # rows, and numbers of a row, that are looked at first
STEP_TO_TOLERANCE = 4.0  # a grid is no finer
MOST_LIMITED = 0.2  # share of the numbers that are limited, where the limits are those of the found ones
LARGEST_SHARE = 0.5  # of the numbers that may be different, on a grid that is recognized from them alone
# In words how numbers are rounded, where that is not to the nearest.
WAYS: dict[str, Callable[[Array], Array]] = {
    "": np.rint,
    "; they are cut off towards 0, not rounded to the nearest": np.trunc,
    "; they are rounded down, not to the nearest": np.floor,
    "; they are rounded up, not to the nearest": np.ceil,
}


class Grid(NamedTuple):
    """Numbers that are rounded to a grid.

    Attributes:
        value: (rows, numbers).
        step: of the first row's grid.
        divisor: the step by which its numbers were divided, if that is another one.
        levels: how many steps its numbers are from 0, at most.
        signed: whether some are negative.
        limits: the least and the largest number, where these limit the right ones.
        of_step: in words how the step was chosen, if not as usual.
        way: in words how they are rounded, if not to the nearest.
    """

    value: Array
    step: float
    divisor: float
    levels: int
    signed: bool
    limits: tuple[float, float] | None = None
    of_step: str = ""
    way: str = ""


def find_grid(found: Array, right: Array, tolerance: float) -> Grid | None:
    """The grid to which each row is rounded, or None.

    The steps that are tried are those of the usual ways to choose one: the largest number, or the range, over the
    number of levels.

    Args:
        found, right: (rows, numbers).
        tolerance: the largest difference of equal numbers.
    """
    sizes = {"": np.abs(right)}
    if found.shape[1] >= FEWEST_LIMITED:  # the limit itself is fitted to the found
        sizes |= {"; the step is that of the largest number, not of the largest size": right}
        sizes |= {"; the step is that of the least number, not of the largest size": -right}
        sizes["found"] = np.abs(found)
    for words, numbers in sizes.items():
        largest = numbers.max(axis=1, keepdims=True)
        if (largest > 0).all() and (grid := _grid_up_to(found, right, tolerance, largest)) is not None:
            return grid._replace(of_step=words if words.startswith(";") else "")
    return _measured_grid(found, right, tolerance) if len(found) == 1 else None


def _measured_grid(found: Array, right: Array, tolerance: float) -> Grid | None:
    """The grid that the found numbers show: of multiples of a step, or of steps from the least number on."""
    low, high = float(found.min()), float(found.max())
    limited = (right < low) | (right > high)
    if limited.mean() > MOST_LIMITED:
        return None
    for origin in (0.0, low):
        step = _step(found[0] - origin, tolerance)
        if step is None or np.abs(found - np.clip(right, low, high)).max() > 0.51 * step + tolerance:
            continue
        is_limited = np.abs(right - np.clip(right, low, high)).max() > 0.51 * step
        grid = _new_grid(np.rint((found - origin) / step) * step + origin, step, step)
        return grid._replace(limits=(low, high) if is_limited or origin else None)
    return None


def _new_grid(value: Array, step: float, divisor: float) -> Grid:
    return Grid(value, step, divisor, round(float(np.abs(value[0]).max() / step)), bool((value < 0).any()))


def _grid_up_to(found: Array, right: Array, tolerance: float, largest: Array) -> Grid | None:
    """The grid of the usual steps for these largest numbers of rows; numbers above are limited."""
    span = np.maximum(right.max(axis=1, keepdims=True), 0) - np.minimum(right.min(axis=1, keepdims=True), 0)
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
                for way, value in _on_grid(right / divisor, step, half):
                    if agree(found, value, tolerance):
                        return _new_grid(value, float(step[0, 0]), float(divisor[0, 0]))._replace(way=way)
    return None


def _on_grid(right: Array, step: Array, half: int) -> Iterator[tuple[str, Array]]:
    """Numbers in steps, rounded in each usual way, limited or not, times the step; with the way in words."""
    for way, rounding in WAYS.items():
        integers = rounding(right)
        yield way, integers * step
        for low in (-half, -(half - 1)):
            yield way, np.clip(integers, low, half - 1) * step


def agree(found: Array, value: Array, tolerance: float) -> bool:
    """Whether numbers are equal within a tolerance."""
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


def grid_words(grid: Grid) -> str:
    """A grid in words."""
    bits = next((bits for bits in range(2, 9) if grid.levels <= 2 ** (bits - grid.signed) - (not grid.signed)), 8)
    kind = "int" if grid.signed else "uint"
    other = f"; they were divided by another step, {grid.divisor:.4g}" if grid.divisor != grid.step else ""
    limits = f", from {grid.limits[0]:.4g} to {grid.limits[1]:.4g} alone" if grid.limits else ""
    steps = f"step {grid.step:.4g}, with up to {grid.levels} steps from 0, as {kind}{bits} has them"
    return f"{steps}{limits}{other}{grid.of_step}{grid.way}"
