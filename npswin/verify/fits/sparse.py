"""Single numbers that are wrong: a constant in their place, or all but the largest of each row are 0."""

import math
from collections.abc import Callable, Iterator

import numpy as np

from npswin.types import Array
from npswin.verify.fits.copies import places_words, regular_places
from npswin.verify.fits.explanation import Evidence, Explanation, replaced_where

LARGEST_SHARE = 0.9  # of the numbers that may be wrong
FEWEST = 8  # numbers in a row whose places count as a rule
CHOICES = 10_000  # of places: among fewer, a threshold may divide the numbers by chance
FEWEST_OF_STATISTIC = 64  # numbers: the gap between two of fewer is wide
CONDITIONS: dict[str, Callable[[Array], Array]] = {
    "is not 0": lambda x: x != 0,
    "is negative": lambda x: x < 0,
    "is 0": lambda x: x == 0,
    "is positive": lambda x: x > 0,
}


def _medians(x: Array) -> list[float]:
    """Of an even count the lower one, as PyTorch has it, the upper one, and their mean."""
    return [float(np.quantile(x, 0.5, method=how)) for how in ("lower", "higher", "midpoint")]


# By words what a threshold may be.
STATISTICS: dict[str, Callable[[Array], list[float]]] = {
    "the median of the absolute values": lambda x: _medians(np.abs(x)),
    "the median": _medians,
    "the mean of the absolute values": lambda x: [float(np.abs(x).mean())],
    "the mean": lambda x: [float(x.mean())],
    "the standard deviation": lambda x: [float(x.std()), float(x.std(ddof=1))],
}


def constant_in_places(evidence: Evidence) -> Iterator[Explanation]:
    """One number in place of some of the right ones."""
    found, right = evidence.found, evidence.right
    wrong = np.abs(found - right) > evidence.tolerance
    count, others = int(wrong.sum()), int((~wrong).sum())
    if count < 2 or wrong.mean() > LARGEST_SHARE or np.ptp(found[wrong]) > evidence.tolerance:
        return
    number = 0.0 if (np.abs(found[wrong]) <= evidence.tolerance).all() else float(found[wrong].mean())
    rule, of_places = _by_condition(evidence, wrong), 0
    if not rule and math.comb(count + others, count) >= CHOICES:
        rule, of_places = (_by_largest(right, wrong) if not number else "") or _by_threshold(right, wrong), 1
    if not rule:
        of_places = count  # each place by itself
    where = f"{wrong.mean():.0%} of the numbers"
    if not rule and count >= FEWEST and regular_places(wrong, evidence.axes):
        where, of_places = places_words(wrong, evidence.axes), 0
    words = f"{where} are {number:.6g}{rule}"
    yield Explanation(words, replaced_where(wrong, np.full_like(found, number)), of_places + int(number != 0))


def _by_condition(evidence: Evidence, wrong: Array) -> str:
    """Where another array is negative, positive or 0. Numbers that are right by chance, as 0 for 0, do not count."""
    same = np.abs(evidence.found - evidence.right) <= evidence.tolerance
    constant = np.abs(evidence.found - evidence.found[wrong].mean()) <= evidence.tolerance
    for name, array in evidence.conditions.items():
        for words, condition in CONDITIONS.items():
            places = condition(array)
            if (wrong <= places).all() and (same | places).all() and (constant | ~places).all():
                return f": those where {name} {words}"
    return ""


def _by_largest(right: Array, wrong: Array) -> str:
    if not right.ndim:
        return ""
    kept = (~wrong).sum(axis=-1)
    smallest = np.where(wrong, np.inf, right).min(axis=-1)
    if np.ptp(kept) == 0 and (np.where(wrong, right, -np.inf).max(axis=-1) <= smallest).all():
        return f": in each row the {int(kept.max())} largest are kept"
    return ""


def _by_threshold(right: Array, wrong: Array) -> str:
    low, high = right[wrong], right[~wrong]
    if low.max() <= high.min():
        return f": those below {_threshold(right, low.max(), high.min())}"
    if np.abs(low).max() <= np.abs(high).min():
        return f": those between ±{_threshold(right, np.abs(low).max(), np.abs(high).min())}"
    if low.min() >= high.max():
        return f": those above {_threshold(right, high.max(), low.min())}"
    return ""


def _threshold(right: Array, low: float, high: float) -> str:
    """The number between two, and the statistic of the numbers that lies between them, if one does."""
    number = f"{float((low + high) / 2):.4g}"
    for words, values in STATISTICS.items() if right.size >= FEWEST_OF_STATISTIC else ():
        if any(low <= value <= high for value in values(right)):
            return f"{number}, {words}"
    return number
