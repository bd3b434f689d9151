"""Weight sharing: each number is the nearest of a few."""

from collections.abc import Iterator

import numpy as np

from npswin.verify.fits.explanation import Evidence, Explanation, plus

MOST_VALUES = 64
LARGEST_SHARE = 0.25  # of the numbers that may be different ones
NEAREST = 0.98  # share of the numbers whose value is the nearest of all


def few_values(evidence: Evidence) -> Iterator[Explanation]:
    """A few different numbers, each in place of those that are nearest to it."""
    found, right = evidence.found, evidence.right
    values = np.sort(found, axis=None)
    new = np.concatenate([[True], np.diff(values) > 2 * evidence.tolerance])
    values = values[new]
    if not 2 <= len(values) <= min(MOST_VALUES, LARGEST_SHARE * found.size):
        return
    if np.ptp(values) < 20 * len(values) * evidence.tolerance:
        return
    nearest = np.abs(right[..., None] - values).min(axis=-1)
    if (np.abs(right - found) <= nearest + 2 * evidence.tolerance).mean() < NEAREST:
        return
    listed = ", ".join(f"{value:.4g}" for value in values[:4]) + (", ..." if len(values) > 4 else "")
    words = f"it has {len(values)} different numbers, each in place of those near it (weight sharing): {listed}"
    yield Explanation(words, plus(found - right), len(values))
