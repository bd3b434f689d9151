"""A port's probabilities, and another function of the scores that may give them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from npswin.types import Array
from npswin.verify.fits.words import Axis

Rows = Callable[[Array], Array]  # from scores to probabilities, row by row

SMALLEST = 1e-30  # a probability that is 0
MARGIN = 3.0  # times the tolerance, for numbers that follow from fitted ones


@dataclass(frozen=True)
class RowExplanation:
    """Another function in place of the softmax.

    Attributes:
        words: of it.
        rows: the function.
        fitted: how many numbers of it were fitted.
        through: of rounded numbers (scores -> the function of nearby scores whose derivative is taken), as a rounding
            is that passes derivatives through.
        derivative: (dp, scores) -> the derivative by the scores, where it is not that of each query by itself.
        of_constants: as `through`, with the largest scores as constants, where that is another derivative.
    """

    words: str
    rows: Rows
    fitted: int = 0
    through: Callable[[Array], Rows] | None = None
    derivative: Callable[[Array, Array], Array] | None = None
    of_constants: Callable[[Array], Rows] | None = None


@dataclass(frozen=True)
class Probabilities:
    """A port's probabilities and what they should be computed from.

    Attributes:
        found: the port's, (B, nW, heads, query, key).
        scores: of the same shape.
        axes: for each axis its parts.
        tolerance: the largest difference of equal probabilities.
    """

    found: Array
    scores: Array
    axes: Sequence[Sequence[Axis]]
    tolerance: float

    def agrees(self, array: Array) -> bool:
        """Whether probabilities are the found ones."""
        return bool(np.abs(array - self.found).max() <= MARGIN * self.tolerance)


def shares(weights: Array) -> Array:
    """Weights over their sum for each query."""
    return weights / weights.sum(axis=-1, keepdims=True)


def exponentials(scores: Array) -> Array:
    """exp(scores - their largest)."""
    return np.exp(scores - scores.max(axis=-1, keepdims=True))
