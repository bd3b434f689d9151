"""Numbers that are of 16 bits, in whichever way they were computed."""

import numpy as np

from npswin.types import Array
from npswin.verify.graph.precision import UNIT_ROUNDOFF, rounded

UNITS_PER_NEAR = 8.0  # of a unit in the last place to a difference of equal numbers, at least
FEWEST_TELLING = 16  # numbers that show a precision
SMALLEST = 1e-30


def of_short_numbers(what: str, found: Array, right: Array, off: Array, precision: str) -> str:
    """In words that numbers are of a precision, and how far from the right ones; "" if they are not.

    Args:
        what: the numbers.
        found, right: they themselves, and as they should be.
        off: those that are as far from the found ones as equal numbers may be.
        precision: of 16 bits.
    """
    near = np.abs(off - found)
    unit = 2 * UNIT_ROUNDOFF[precision] * np.exp2(np.floor(np.log2(np.maximum(np.abs(found), SMALLEST))))
    telling = unit >= UNITS_PER_NEAR * near
    short = rounded(found.astype(np.float32), precision)
    if telling.sum() < FEWEST_TELLING or (np.abs(short - found) > near)[telling].any():
        return ""
    most = max(1, int(np.rint((np.abs(found - right) / unit)[telling].max())))
    away = f"up to {most} unit{'s' if most > 1 else ''} in the last place from the right one"
    return f"{what} is a number of {precision}, {away}"
