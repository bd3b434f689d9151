"""The sum by which a query's probabilities are divided, if that is another one than the sum over all keys."""

from collections.abc import Iterator

import numpy as np

from npswin.types import Array
from npswin.verify.fits.left_out import keys_words
from npswin.verify.fits.probabilities import SMALLEST, Probabilities, RowExplanation, Rows, exponentials, shares
from npswin.verify.fits.softmax_steps import steps_of_other_queries

NEAR = 1e-3  # of a weight from 0 or 1, and of a sum from another one, as a share
ROWS_PER_NUMBER = 2


def other_sum(given: Probabilities) -> Iterator[RowExplanation]:
    """Each query's probabilities are in the right proportions, and are divided by a sum of other terms."""
    powers = exponentials(given.scores)
    seen = powers > NEAR
    totals = np.where(seen, powers / np.maximum(given.found, SMALLEST), np.nan)
    total = np.nanmedian(totals, axis=-1)
    if not given.agrees(powers / total[..., None]) or given.agrees(shares(powers)):
        return
    weights = _weights_of_terms(powers, given.scores, total)
    if weights is not None:
        yield weights
    lengths = np.sqrt((powers * powers).sum(axis=-1))
    if np.allclose(lengths, total, rtol=NEAR):
        yield RowExplanation("they are divided by the root of the sum of squares", _by_length)
    for axis, name in ((-2, "the query"), (-3, "the head"), (-4, "the window"), (0, "the image")):
        own = powers.sum(axis=-1)
        common = own.mean(axis=axis + 1 if axis < 0 else 0, keepdims=True)
        if own.shape[axis + 1 if axis < 0 else 0] > 1 and np.allclose(
            np.broadcast_to(common, total.shape), total, rtol=NEAR
        ):
            yield RowExplanation(f"they are divided by the mean sum, whichever {name}", _by_mean_sum(axis))
    yield from sorted(steps_of_other_queries(given), key=lambda one: one.fitted)
    sums = given.found.sum(axis=-1)
    words = (
        f"the probabilities of a query sum up to {sums.min():.4g} to {sums.max():.4g}, and not to 1, in the right "
        "proportions: they are divided by another sum"
    )
    factor = (powers.sum(axis=-1) / total)[..., None]
    yield RowExplanation(words, lambda s: shares(exponentials(s)) * factor, total.size)


def _by_length(scores: Array) -> Array:
    powers = exponentials(scores)
    return powers / np.sqrt((powers * powers).sum(axis=-1, keepdims=True))


def _by_mean_sum(axis: int) -> Rows:
    def rows(scores: Array) -> Array:
        powers = exponentials(scores)
        return powers / powers.sum(axis=-1, keepdims=True).mean(axis=axis, keepdims=True)

    return rows


def _weights_of_terms(powers: Array, scores: Array, total: Array) -> RowExplanation | None:
    """The sum with a weight for each key and a further term, if these explain it."""
    keys = powers.shape[-1]
    ways = {"": powers, "the largest score is not subtracted, and ": np.exp(scores)}
    for words, terms in ways.items():
        reached = total * np.exp(scores.max(axis=-1)) if words else total
        rest = (reached - terms.sum(axis=-1)).reshape(-1)
        if np.ptp(rest) <= NEAR * max(1e-3, float(np.abs(rest).max())):
            constant = float(rest.mean())
            added = lambda s, w=words, c=constant: _with_term(s, bool(w), c)  # noqa: E731
            return RowExplanation(f"{words}{constant:.4g} is added to the sum that they are divided by", added, 1)
    rows = powers.reshape(-1, keys)
    if len(rows) < ROWS_PER_NUMBER * (keys + 1):
        return None
    system = np.concatenate([rows, np.ones((len(rows), 1))], axis=1)
    solution, _, rank, _ = np.linalg.lstsq(system, total.reshape(-1), rcond=1e-10)
    if rank < keys + 1 or np.abs(system @ solution - total.reshape(-1)).max() > NEAR * total.max():
        return None
    weights, constant = np.where(np.abs(solution[:-1]) < NEAR, 0, solution[:-1]), float(solution[-1])
    weights = np.where(np.abs(weights - 1) < NEAR, 1, weights)
    missing = np.flatnonzero(weights == 0)
    if abs(constant) > NEAR or not missing.size or not (weights[weights != 0] == 1).all():
        return None
    words = (
        f"{keys_words(missing, keys)} {'is' if missing.size == 1 else 'are'} not in the sum that they are divided by"
    )
    return RowExplanation(words, lambda s: exponentials(s) / (exponentials(s) @ weights)[..., None])


def _with_term(scores: Array, as_they_are: bool, constant: float) -> Array:
    powers = np.exp(scores) if as_they_are else exponentials(scores)
    return powers / (powers.sum(axis=-1, keepdims=True) + constant)
