"""Parameters of one operation that are wrong together: what one of them does alone has no simple relation.

A bias is short, and a factor of its own for each entry explains any numbers: they are told where the operation's other
parameter has the same.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from npswin.types import Array
from npswin.verify.fits.explanation import Explanation, Pair, plus, times
from npswin.verify.fits.factors import decimal

FEWEST = 4  # entries that have the same factors
LISTED = 4
LARGE = 8  # times the tolerance: a change that has a form


def same_factors(found: Mapping[int, Array], right: Mapping[int, Array], tolerance: float) -> Array | None:
    """The factors (C) by which both a norm's gain (C) and bias (C) are multiplied; None if they are not the same.

    Args:
        found: gain and bias by the place of the input, as they were used.
        right: as they should be.
        tolerance: for the found numbers.
    """
    if len(found) != 2 or any(array.ndim != 1 or len(array) < FEWEST for array in found.values()):
        return None
    pairs = np.array([(found[index], right[index]) for index in found])  # (gain and bias, found and right, C)
    squares = (pairs[:, 1] ** 2).sum(0)
    factors = (pairs[:, 0] * pairs[:, 1]).sum(0) / np.where(squares, squares, 1)
    left = np.abs(pairs[:, 0] - factors * pairs[:, 1])
    changed = np.abs(pairs[:, 0] - pairs[:, 1])
    if (left > 2 * tolerance).any() or (changed.max(axis=1) <= LARGE * tolerance).any() or not squares.all():
        return None
    return np.asarray(factors)


def factors_of_both(factors: Array, names: Sequence[str]) -> list[Explanation]:
    """The explanations of both parameters by `same_factors`."""
    listed = ", ".join(f"{factor:.4g}" for factor in factors[:LISTED]) + ", ..." * (len(factors) > LISTED)
    first = (
        f"each channel is multiplied by a factor, the same as in {names[1]}: {listed} "
        "(such as scales moved into the next layer, whose weight does not have them)"
    )
    pair = times(factors)
    return [Explanation(first, pair, len(factors)), Explanation(f"the same factors as in {names[0]}", pair)]


def constant_added_to_input(found: Array, right: Array, weight: Array, tolerance: float) -> float | None:
    """The constant by which the bias changes if it is added to each number of the input: c times the rows' sums.

    Args:
        found, right: the bias (out).
        weight: (out, ...).
        tolerance: for the found numbers.
    """
    sums, difference = weight.reshape(len(weight), -1).sum(axis=1), found - right
    squares = float((sums * sums).sum())
    if len(sums) < FEWEST or not squares:
        return None
    constant = float((difference * sums).sum()) / squares
    explained = np.abs(difference - constant * sums).max() <= 2 * tolerance
    return constant if explained and np.abs(difference).max() > LARGE * tolerance else None


def constant_in_bias(constant: float, sums: Array, tolerance: float) -> Explanation:
    """The explanation of a bias by `constant_added_to_input`."""
    number = decimal(constant, tolerance / max(float(np.abs(sums).max()), 1e-300))
    words = f"{number} times the sums of the weight's rows is added, as if {number} were added to the input"
    return Explanation(words, plus(constant * sums), 1)


def as_the_weight(
    found: Array, right: Array, of_weight: Explanation, shape: tuple[int, ...], tolerance: float
) -> Explanation | None:
    """A bias (out) changed as the rows of its weight of a shape (out, ...) are, such as classes in another order."""
    pair = _on_rows(of_weight.pair, shape)
    if of_weight.source or found.shape != right.shape:
        return None
    if np.abs(pair[0](right)[0] - found).max() > tolerance:
        return None
    return Explanation(of_weight.words, pair)


def _on_rows(pair: Pair, shape: tuple[int, ...]) -> Pair:
    """A change of a weight as one of the numbers that each of its rows consists of."""

    def forward(x: Array) -> tuple[Array, object]:
        y, cache = pair[0](np.broadcast_to(x.reshape(-1, *[1] * (len(shape) - 1)), shape))
        return y.reshape(shape[0], -1)[:, 0], cache

    def backward(dy: Array, cache: object) -> Array:
        first = np.zeros((shape[0], int(np.prod(shape[1:]))), dy.dtype)
        first[:, 0] = dy
        return np.asarray(pair[1](first.reshape(shape), cache).reshape(shape[0], -1).sum(axis=1), dy.dtype)

    return forward, backward
