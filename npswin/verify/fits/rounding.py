"""Rounded numbers: to 16 bits, or to a grid, as quantization does."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from npswin.types import Array
from npswin.verify.fits.explanation import Evidence, Explanation, Pair
from npswin.verify.fits.grids import agree, find_grid, grid_words
from npswin.verify.fits.limits import range_of_an_image
from npswin.verify.fits.multiples import rounded_to_multiples
from npswin.verify.fits.number_formats import SCALED, UNSCALED
from npswin.verify.graph.precision import rounded

Rows = Callable[[Array], Array]

MOST_GROUPS = 12  # sizes of groups that are tried
# Binary digits after the first one of floats with a scale that is not known.
DIGITS = {"float8 (e4m3)": 3, "float8 (e5m2)": 2, "float4 (e2m1)": 1}
FEWEST_ROUNDED = 8  # numbers of an array that few bits explain
SAMPLE_OF_ROWS = 2048  # numbers of whole rows that are looked at first
ROUNDED_SHARE = 0.2  # of the numbers, at least, is changed by a rounding to few levels
FLOAT32 = 2.0**-23  # relative difference of neighbouring numbers: the largest itself is not limited


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
            if agree(few[0], rounding(few[1]), evidence.tolerance) and evidence.agrees(
                value := back(rounding(rows[1]))
            ):
                yield Explanation(f"the numbers are {words}{which}", _rounding(value - right), 0)
                return
        if grid := find_grid(*rows, evidence.tolerance):
            own = "a grid of" if not which else f"a grid of its own{which},"
            limits = range_of_an_image(*grid.limits, evidence) if grid.limits else ""
            words = f"the numbers are rounded to {own} {grid_words(grid)}{limits}"
            yield Explanation(words, _rounding(back(grid.value) - right), count)
            if grid.limits:
                low, high = (end + sign * FLOAT32 * abs(end) for end, sign in zip(grid.limits, (-1, 1), strict=True))
                limited = (right < low) | (right > high)
                yield Explanation(words, _rounding(back(grid.value) - right, limited), count)
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


def _rounding(difference: Array, limited: Array | bool = False) -> Pair:
    """The same roundings; the derivative passes straight through, and is 0 for numbers that are limited."""
    return (lambda x: (x + difference.astype(x.dtype), None)), (lambda dy, _: np.where(limited, 0, dy))
