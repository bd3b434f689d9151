"""Numbers that are 0 because they are the smaller ones: of all, of a row, or of each group of neighbours."""

from collections.abc import Iterator

import numpy as np

from npswin.types import Array
from npswin.verify.fits.explanation import Evidence, Explanation, replaced_where

FEWEST = 8  # numbers that are 0
GROUPS = (2, 4, 8, 16)


def smallest_are_zero(evidence: Evidence) -> Iterator[Explanation]:
    """Pruning by size."""
    found, right = evidence.found, evidence.right
    zero = (np.abs(found) <= evidence.tolerance) & (np.abs(right) > evidence.tolerance)
    if zero.sum() < FEWEST or not evidence.agrees(np.where(zero, 0, right)):
        return
    if words := words_of_smallest(zero, np.abs(right)):
        yield Explanation(words, replaced_where(zero, np.zeros_like(found)))


def words_of_smallest(zero: Array, size: Array) -> str:
    """In words, that the smallest numbers are 0; empty if others are."""
    if _are_smallest(zero.reshape(1, -1), size.reshape(1, -1)):
        limit = (size[zero].max() + size[~zero].min()) / 2
        return f"its {zero.mean():.0%} smallest numbers are 0: those between ±{limit:.4g}"
    if size.ndim < 2:
        return ""
    for group in GROUPS:
        if size.shape[-1] % group == 0:
            grouped, sizes = zero.reshape(-1, group), size.reshape(-1, group)
            kept = (~grouped).sum(axis=1)
            if kept[0] and (kept == kept[0]).all() and _are_smallest(grouped, sizes):
                which = f"of each {group} numbers of a row the {kept[0]} largest are kept, the others are 0"
                return f"{which} ({kept[0]}:{group})"
    rows = zero.reshape(-1, size.shape[-1]), size.reshape(-1, size.shape[-1])
    kept = (~rows[0]).sum(axis=1)
    if np.ptp(kept) <= 1 and kept.min() and _are_smallest(*rows):
        return f"in each row the {kept[0]} largest numbers are kept, the others are 0"
    return ""


def _are_smallest(zero: Array, size: Array) -> bool:
    """Whether in each row the zeros are where the smallest numbers should be."""
    some = zero.any(axis=1) & ~zero.all(axis=1)
    largest_zero = np.where(zero, size, 0).max(axis=1)
    return bool(some.any() and (largest_zero <= np.where(zero, np.inf, size).min(axis=1))[some].all())
