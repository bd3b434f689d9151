"""The steps of a softmax, of which one has the numbers of other queries: the largest score, or the sum.

A softmax is exp(s - c) with c = log Σ exp(s). Where a port's probabilities are so with another c for each query, c is
read off, and compared with what it becomes where one of its steps, an array over the queries, is another array.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from npswin.types import Array
from npswin.verify.fits.explanation import Evidence, Pair, plus
from npswin.verify.fits.families import first_explanation
from npswin.verify.fits.probabilities import MARGIN, Probabilities, RowExplanation, exponentials, shares
from npswin.verify.fits.short_numbers import of_short_numbers

FAR = 8.0  # times the difference of equal numbers: those that are no nearer are others
PRECISIONS = ("bfloat16", "float16")  # which represents the numbers of bfloat16, too
QUERIES_PER_NUMBER = 16  # for each fitted number, at least


class _Step(NamedTuple):
    """A step from the largest scores m and the logarithms L of the sums to c, all (B, nW, heads, query).

    Attributes:
        words: of the step.
        right: (m, L) -> its numbers.
        found: (m, L, c) -> those with which c is found.
        then: (m, L, its numbers) -> c.
        slopes: likewise, the derivatives of c by m, L and these numbers.
        of: (m, L) -> the derivatives of the right numbers by m and L.
    """

    words: str
    right: Callable[[Array, Array], Array]
    found: Callable[[Array, Array, Array], Array]
    then: Callable[[Array, Array, Array], Array]
    slopes: Callable[[Array, Array, Array], tuple[Array | float, Array | float, Array]]
    of: Callable[[Array, Array], tuple[Array | float, Array | float]]


STEPS = (
    _Step(
        "the logarithm of the sum of exponentials",
        lambda m, total: total,
        lambda m, total, c: c,
        lambda m, total, z: z,
        lambda m, total, z: (0.0, 0.0, np.ones_like(z)),
        lambda m, total: (0.0, 1.0),
    ),
    _Step(
        "the sum of exp(score - largest score)",
        lambda m, total: np.exp(total - m),
        lambda m, total, c: np.exp(c - m),
        lambda m, total, z: m + np.log(z),
        lambda m, total, z: (1.0, 0.0, 1 / z),
        lambda m, total: (-np.exp(total - m), np.exp(total - m)),
    ),
    _Step(
        "the largest score, in the sum alone",
        lambda m, total: m,
        lambda m, total, c: m + total - c,
        lambda m, total, z: m + total - z,
        lambda m, total, z: (1.0, 1.0, -np.ones_like(z)),
        lambda m, total: (1.0, 0.0),
    ),
    _Step(
        "the largest score, not in the sum",
        lambda m, total: m,
        lambda m, total, c: m - total + c,
        lambda m, total, z: total - m + z,
        lambda m, total, z: (-1.0, 1.0, np.ones_like(z)),
        lambda m, total: (1.0, 0.0),
    ),
)


PLAIN_WORDS = {  # log(1 + exp(L)) is the logarithm of one more
    (STEPS[0].words, "softplus is applied"): "1 is added to the sum of exponentials",
    (
        "the sum of exp(score - largest score)",
        "all numbers are 1",
    ): "exp(score - largest score), not divided by the sum",
}


def steps_of_other_queries(given: Probabilities) -> Iterator[RowExplanation]:
    """Each step as other numbers, as `explanations` tells them of any tensor."""
    scores, first = given.scores, given.scores.argmax(-1)[..., None]
    own = np.take_along_axis(given.found, first, -1)[..., 0]
    if own.min() <= MARGIN * given.tolerance:
        return
    m, total = _largest(scores), _logarithm(scores)
    c = m - np.log(own)
    if np.abs(np.exp(scores - c[..., None]) - given.found).max() > MARGIN * given.tolerance:
        return
    for step in STEPS:
        right, found = step.right(m, total), step.found(m, total, c)
        near = MARGIN * given.tolerance / own / np.abs(step.slopes(m, total, found)[2])
        if (np.abs(found - right) < FAR * near).all():
            continue
        explanation = first_explanation(Evidence(found, right, given.axes[:-1], float(near.max()), {}))
        if explanation is not None and explanation.fitted <= found.size // QUERIES_PER_NUMBER:
            is_constant = np.ptp(explanation.pair[0](right)[0]) == 0
            moved = _Moved(step, (explanation.pair[0], _no_derivative) if is_constant else explanation.pair)
            words = PLAIN_WORDS.get((step.words, explanation.words)) or f"{step.words}: {explanation.words}"
            yield RowExplanation(words, moved.forward, explanation.fitted, derivative=moved.backward)
            continue
        told = (of_short_numbers(f"{step.words} of each query", found, right, found + near, one) for one in PRECISIONS)
        if words := next(filter(None, told), ""):
            moved = _Moved(step, plus(found - right))
            yield RowExplanation(words, moved.forward, found.size, derivative=moved.backward)


def _no_derivative(dy: Array, _: object) -> Array:
    return np.zeros_like(dy)


def _largest(scores: Array) -> Array:
    return scores.max(-1)


def _logarithm(scores: Array) -> Array:
    return _largest(scores) + np.log(exponentials(scores).sum(-1))


class _Moved(NamedTuple):
    """exp(s - c) with a step's numbers moved by a pair."""

    step: _Step
    pair: Pair

    def forward(self, scores: Array) -> Array:
        """The probabilities."""
        m, total = _largest(scores), _logarithm(scores)
        c = self.step.then(m, total, self.pair[0](self.step.right(m, total))[0])
        return np.exp(scores - c[..., None])

    def backward(self, dy: Array, scores: Array) -> Array:
        """By the scores: ds = p dy, dc = -Σ p dy, and c by L, whose derivative is the softmax, and by m."""
        m, total = _largest(scores), _logarithm(scores)
        z, cache = self.pair[0](self.step.right(m, total))
        ds = np.exp(scores - self.step.then(m, total, z)[..., None]) * dy
        dc = -ds.sum(-1)
        by_m, by_l, by_z = self.step.slopes(m, total, z)
        dz = self.pair[1](dc * by_z, cache)
        of_m, of_l = self.step.of(m, total)
        ds = ds + (dc * by_l + dz * of_l)[..., None] * shares(exponentials(scores))
        is_largest = scores == m[..., None]
        return ds + is_largest / is_largest.sum(-1, keepdims=True) * (dc * by_m + dz * of_m)[..., None]
