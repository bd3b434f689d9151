"""Which few of many terms an array is the sum of, each with a factor."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np

from npswin.types import Array

MOST_SUMMED = 3  # terms that are looked for together
MOST_ADDED = 2  # terms that are looked for besides all of the right sum
NUMBERS_PER_TERM = 3  # found numbers for each term, at least
MOST_NUMBERS = 2**14  # of the arrays that are used
PARALLEL = 1e-10  # 1 - the cosine of two terms that are multiples of each other
RIDGE = 1e-13  # added to the diagonal, where terms depend on each other
GRAM_ERROR = 1e-7  # relative error of a distance by products of the terms
MOST_CHECKED = 64  # sums that are computed in full
SAME = 1e-4  # relative distance within which a fitted factor is a known one, unless the fit is coarser


@dataclass(frozen=True)
class Combination:
    """A sum of terms.

    Attributes:
        factors: by term; none is 0.
        changed: how many terms have another factor than in the right sum.
        fitted: how many factors are no known numbers.
    """

    factors: Mapping[str, float]
    changed: int
    fitted: int


def find_combination(
    found: Array, terms: Mapping[str, Array], right: Mapping[str, float], numbers: Sequence[float], tolerance: float
) -> Combination | None:
    """The sum of terms that is the found array: the one nearest to the right sum that fits; None if none does.

    Args:
        found: any shape.
        terms: of this shape, by name.
        right: the factors of the right sum.
        numbers: that a factor may be, besides small ones.
        tolerance: the largest difference of numbers that are equal.
    """
    places = _some_places(found.size)
    f = found.reshape(-1)[places].astype(np.float64)
    columns = {name: np.asarray(term, np.float64).reshape(-1)[places] for name, term in terms.items()}
    columns = _independent({name: column for name, column in columns.items() if column.any()}, right)
    if not f.any() or not all(np.isfinite(column).all() for column in (f, *columns.values())):
        return None
    correct = sum((factor * columns[name] for name, factor in right.items() if name in columns), np.zeros(len(f)))
    size = float(np.sqrt(np.mean(correct**2)))
    limit = tolerance * max(1.0, float(np.sqrt(np.mean(f**2))) / size if size else 1.0)
    fits: list[Combination] = []
    for base, target, most in (({}, f, MOST_SUMMED), (right, f - correct, MOST_ADDED)):
        for count in range(1, most + 1):
            if len(f) < NUMBERS_PER_TERM * count + 2 or len(columns) < count:
                break
            for factors, error in _sums(target, columns, count, limit):
                total = {name: base.get(name, 0.0) + factors.get(name, 0.0) for name in {**base, **factors}}
                fits.append(_with_known_factors(total, right, numbers, max(SAME, error)))
            if fits:
                break
    return min(fits, key=lambda one: (one.fitted, one.changed, len(one.factors)), default=None)


def _some_places(size: int) -> Array:
    if size <= MOST_NUMBERS:
        return np.arange(size)
    return np.sort(np.random.default_rng(0).choice(size, MOST_NUMBERS, replace=False))


def _independent(columns: Mapping[str, Array], right: Mapping[str, float]) -> dict[str, Array]:
    """The terms without multiples of others; those of the right sum stay."""
    kept: dict[str, Array] = {}
    units: list[Array] = []
    for name in [*(name for name in right if name in columns), *(name for name in columns if name not in right)]:
        unit = columns[name] / np.linalg.norm(columns[name])
        if name in right or not units or np.abs(np.stack(units) @ unit).max() < 1 - PARALLEL:
            kept[name] = columns[name]
            units.append(unit)
    return kept


@lru_cache(maxsize=16)
def _subsets(count: int, size: int) -> Array:
    return np.array(list(combinations(range(count), size)), np.int64).reshape(-1, size)


def _sums(
    target: Array, columns: Mapping[str, Array], count: int, limit: float
) -> list[tuple[dict[str, float], float]]:
    """The factors of each sum of so many terms that is the target, and their largest relative error."""
    names, norm = list(columns), float(np.linalg.norm(target))
    if not norm:
        return []
    lengths = np.array([np.linalg.norm(column) for column in columns.values()])
    units = np.stack(list(columns.values()), axis=1) / lengths
    gram, products = units.T @ units, units.T @ target
    subsets = _subsets(len(names), count)
    matrices = gram[subsets[:, :, None], subsets[:, None, :]] + RIDGE * np.eye(count)
    solutions = np.linalg.solve(matrices, products[subsets][..., None])[..., 0]
    squares = norm**2 - (solutions * products[subsets]).sum(axis=1)
    allowed = limit * np.sqrt(len(target)) + GRAM_ERROR * norm
    near = np.flatnonzero(squares <= allowed**2)
    near = near[np.argsort(squares[near])][:MOST_CHECKED]
    sums = []
    for each in near:
        chosen = subsets[each]
        exact, *_ = np.linalg.lstsq(units[:, chosen], target, rcond=None)
        rest = target - units[:, chosen] @ exact
        if np.abs(rest).max() > 2 * limit or np.linalg.norm(rest) > norm / 2:
            continue
        spread = np.sqrt(np.diag(np.linalg.pinv(gram[np.ix_(chosen, chosen)])))
        error = float(np.sqrt(np.mean(rest**2)) * (spread / np.maximum(np.abs(exact), 1e-300)).max()) * 4
        sums.append(({names[at]: float(value / lengths[at]) for at, value in zip(chosen, exact, strict=True)}, error))
    return sums


def _with_known_factors(
    factors: Mapping[str, float], right: Mapping[str, float], numbers: Sequence[float], near: float
) -> Combination:
    """The sum with factors that are known numbers in place of fitted ones."""
    known = [1.0, 2.0, 0.5, 3.0, 4.0, 0.25, *numbers]
    exact: dict[str, float] = {}
    fitted = 0
    for name, factor in factors.items():
        if abs(factor) <= near * max(1.0, abs(right.get(name, 0.0))):
            continue
        of_right = abs(right.get(name, 1.0))
        number = next((one for one in known if abs(abs(factor) / (one * of_right) - 1) <= near), None)
        fitted += number is None
        exact[name] = factor if number is None else float(np.sign(factor)) * number * of_right
    changed = sum(exact.get(name, 0.0) != right.get(name, 0.0) for name in {**exact, **right})
    return Combination(exact, changed, fitted)
