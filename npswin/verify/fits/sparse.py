"""Single numbers that are wrong: a constant in their place, or all but the largest of each row are 0."""

from collections.abc import Iterator

import numpy as np

from npswin.verify.fits.explanation import Evidence, Explanation, replaced_where

LARGEST_SHARE = 0.9  # of the numbers that may be wrong


def constant_in_places(evidence: Evidence) -> Iterator[Explanation]:
    """One number in place of some of the right ones."""
    found, right = evidence.found, evidence.right
    wrong = np.abs(found - right) > evidence.tolerance
    count = int(wrong.sum())
    if count < 2 or wrong.mean() > LARGEST_SHARE or np.ptp(found[wrong]) > evidence.tolerance:
        return
    number = float(found[wrong].mean())
    which = ""
    if not number and right.ndim:
        kept = (~wrong).sum(axis=-1)
        most = int(kept.max())
        smallest = np.where(wrong, np.inf, right).min(axis=-1)
        if np.ptp(kept) == 0 and (np.where(wrong, right, -np.inf).max(axis=-1) <= smallest).all():
            which = f": in each row the {most} largest are kept"
    if not which:
        low, high = right[wrong], right[~wrong]
        if low.max() <= high.min():
            which = f": those below {float((low.max() + high.min()) / 2):.4g}"
        elif np.abs(low).max() <= np.abs(high).min():
            which = f": those between ±{float((np.abs(low).max() + np.abs(high).min()) / 2):.4g}"
        elif low.min() >= high.max():
            which = f": those above {float((low.min() + high.max()) / 2):.4g}"
    words = f"{wrong.mean():.0%} of the numbers are {number:.6g}{which}"
    yield Explanation(words, replaced_where(wrong, found), int(number != 0))
