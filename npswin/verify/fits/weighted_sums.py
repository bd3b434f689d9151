"""Numbers that are weighted sums along an axis, with the same weights everywhere, such as a mean of some tokens."""

import numpy as np

from npswin.types import Array

NUMBERS_PER_WEIGHT = 2
NUMBERS_MORE = 12  # than weights, at least, where all weights that are not 0 are one fraction
MOST_PARTS = 4  # times the number of weights: the largest denominator of weights that are fractions
ROUND = 1e-4  # of a weight, as a share of the largest
EXACT = 1e-6  # of a weight that is a fraction
INDEPENDENT = 1e-6  # smallest singular value, as a share of the largest


def weights_of_sum(found: Array, right: Array, tolerance: float) -> Array | None:
    """The weights (n,) for which each found number is the weighted sum of n right ones; None where there are none.

    Args:
        found: (numbers,).
        right: (numbers, n).
        tolerance: the largest difference of equal numbers.
    """
    if right.shape[0] < right.shape[1] + NUMBERS_MORE:
        return None
    weights, _, rank, singular = np.linalg.lstsq(right, found, rcond=None)
    if rank < right.shape[1] or singular.min() < INDEPENDENT * singular.max():
        return None
    weights = as_fractions(np.where(np.abs(weights) < ROUND * np.abs(weights).max(), 0.0, weights))
    enough = right.shape[0] >= NUMBERS_PER_WEIGHT * right.shape[1]
    if not enough and len(np.unique(np.round(weights[weights != 0], 6))) != 1:
        return None
    reach = max(1.0, float(np.abs(weights).sum()))
    return weights if np.abs(right @ weights - found).max() <= 2 * reach * tolerance else None


def as_fractions(weights: Array) -> Array:
    """The weights as fractions of one denominator, if they are near to such ones."""
    for denominator in range(1, MOST_PARTS * len(weights) + 1):
        parts = np.rint(weights * denominator)
        if parts.any() and np.abs(weights * denominator - parts).max() <= EXACT * denominator:
            return parts / denominator
    return weights


def weights_in_words(weights: Array, size: tuple[int, int]) -> str:
    """What is summed of a map of this size: a mean of some tokens, or a factor for each."""
    grid = weights.reshape(size)
    used = np.argwhere(grid)
    values = grid[grid != 0]
    if np.ptp(values) <= ROUND * np.abs(values).max():
        rows, columns = (sorted(set(used[:, axis].tolist())) for axis in (0, 1))
        whole = len(used) == len(rows) * len(columns)
        if whole:
            where = f"{_listed('row', rows)} and {_listed('column', columns)}"
        else:
            where = ", ".join(f"({row}, {column})" for row, column in used[:6].tolist()) + (", ..." * (len(used) > 6))
        total = float(values.sum())
        scale = "mean" if abs(total - 1) < ROUND else f"sum, times {float(values.mean()):.5g},"
        if len(used) == 1 and scale == "mean":
            return f"the token at {where}"
        return f"the {scale} of the tokens at {where}" if len(used) < grid.size else f"the {scale} of all tokens"
    listed = ", ".join(f"{one:.4g}" for one in weights[:8])
    return f"a sum of the tokens with the weights {listed}{', ...' * (len(weights) > 8)}"


def _listed(name: str, entries: list[int]) -> str:
    if len(entries) > 2 and entries == list(range(entries[0], entries[-1] + 1)):
        return f"{name}s {entries[0]} to {entries[-1]}"
    return f"{name}{'s' * (len(entries) > 1)} {', '.join(map(str, entries))}"
