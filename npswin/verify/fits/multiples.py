"""Numbers rounded to multiples of a step that does not depend on them, as fixed-point numbers have it."""

from collections.abc import Callable, Iterator

import numpy as np

from npswin.types import Array

FEWEST = 16  # numbers whose lying on a grid is no chance
STEP_TO_TOLERANCE = 4.0  # a grid is no finer
SAMPLE = 64  # numbers that are looked at first
MOST_LIMITED = 0.2  # share of the numbers that are the least or the largest

STEPS = {f"1/{number}": 1 / number for number in (127, 255, 1023, 65535)}
STEPS |= {f"{2.0**-k:g} = 2^-{k}" if k else "1": 2.0**-k for k in range(17)}
STEPS = dict(sorted(STEPS.items(), key=lambda one: -one[1]))

WAYS: dict[str, Callable[[Array], Array]] = {
    "to the nearest multiple": np.rint,
    "down to a multiple": np.floor,
    "towards 0, to a multiple": np.trunc,
    "up to a multiple": np.ceil,
}


def rounded_to_multiples(found: Array, right: Array, tolerance: float) -> Iterator[tuple[str, Array]]:
    """In words how the right numbers are rounded to the found ones, and the rounded ones; at most one way.

    Where a right number is a multiple itself, up to its own rounding error, either neighbour may be the port's.

    Args:
        found, right: of one shape.
        tolerance: the largest difference of equal numbers.
    """
    if found.size < FEWEST:
        return
    few = found.reshape(-1)[:: max(1, found.size // SAMPLE)]
    for words, step in STEPS.items():
        if step < STEP_TO_TOLERANCE * tolerance:
            return
        if not _are_multiples(few, step, tolerance) or not _are_multiples(found, step, tolerance):
            continue
        steps = np.rint(found / step)
        least, largest = steps.min(), steps.max()
        limited = ((steps == least) & (right / step < least)) | ((steps == largest) & (right / step > largest))
        for way, function in WAYS.items():
            low, high = function((right - tolerance) / step), function((right + tolerance) / step)
            if (limited | ((low <= steps) & (steps <= high))).all() and limited.mean() <= MOST_LIMITED:
                outside = bool((limited & ((high < least) | (low > largest))).any())
                limits = f", from {least * step:g} to {largest * step:g}" if outside else ""
                yield f"rounded {way} of {words}{limits}", steps * step
                return


def _are_multiples(numbers: Array, step: float, tolerance: float) -> bool:
    return bool((np.abs(numbers - np.rint(numbers / step) * step) <= tolerance).all())
