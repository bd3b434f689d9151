"""A layer norm of which some steps have few bits: its mean, the squares, their mean, the variance, its root.

Each step is rounded or not. Automatic differentiation rounds the derivatives where it rounds the numbers.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.graph import Operation
from npswin.verify.port.operation_steps import Rounding

X, SUM, MEAN = "x", "the sum", "the mean"
CENTRED, SQUARES, SUM_OF_SQUARES = "x less its mean", "the squares", "their sum"
MEAN_SQUARE, SQUARE_OF_MEAN, VARIANCE = "their mean", "the mean's square", "the variance"
WITH_EPS, DEVIATION, FACTOR = "variance + eps", "the deviation", "1 / the deviation"
NORMALIZED = "the normalized numbers"

ORDER: tuple[str, ...] = (X, SUM, MEAN, CENTRED, SQUARES, SUM_OF_SQUARES, MEAN_SQUARE, SQUARE_OF_MEAN)
ORDER += (VARIANCE, WITH_EPS, DEVIATION, FACTOR, NORMALIZED)


@dataclass(frozen=True)
class RoundedNorm:
    """Which steps are rounded.

    Attributes:
        steps: those that are rounded.
        one_pass: whether the variance is E[x²] - E[x]².
        exact_centre: whether the mean that is subtracted from x is another one, which is not rounded.
        exact_variance: whether the variance has another mean, which is not rounded.
    """

    steps: frozenset[str]
    one_pass: bool = False
    exact_centre: bool = False
    exact_variance: bool = False

    def words(self, precision: str) -> str:
        """What is rounded, in the order of the steps."""
        listed = [step for step in ORDER if step in self.steps]
        if {MEAN, MEAN_SQUARE} <= self.steps and not {SUM, SUM_OF_SQUARES, SQUARES} & self.steps:
            listed = ["both means" if step == MEAN else step for step in listed if step != MEAN_SQUARE]
        which = " and ".join(filter(None, (", ".join(listed[:-1]), listed[-1])))
        where = " for the variance" if self.exact_centre and self.steps & {X, SUM, MEAN} else ""
        if self.one_pass:
            which = which.replace(VARIANCE, "the difference")
            return f"the variance is E[x²] - E[x]², with {which} rounded to {precision}{where}"
        single = len(listed) == 1 and listed[0] not in (SQUARES, NORMALIZED)
        return f"{which} {'is' if single else 'are'} rounded to {precision}{where}"

    def moments(self, r: Rounding, x: Array) -> dict[str, Array]:
        """The numbers of each step up to the variance; r is the rounding."""
        values: dict[str, Array] = {}

        def step(name: str, value: Array) -> Array:
            values[name] = r(value) if name in self.steps else value
            return values[name]

        own = step(X, x)
        mean = step(MEAN, step(SUM, own.sum(-1, keepdims=True)) / x.shape[-1])
        mean = x.mean(-1, keepdims=True) if self.exact_variance else mean
        centred = own if self.one_pass else step(CENTRED, own - mean)
        squares = step(SQUARES, centred * centred)
        mean_square = step(MEAN_SQUARE, step(SUM_OF_SQUARES, squares.sum(-1, keepdims=True)) / x.shape[-1])
        step(VARIANCE, mean_square - step(SQUARE_OF_MEAN, mean * mean) if self.one_pass else mean_square)
        return values

    def root(self, variance: Array, eps: float, r: Rounding) -> Array:
        """The deviation, before it is rounded."""
        return np.sqrt(self._rounded(r, WITH_EPS, np.maximum(variance, 0) + eps))

    def factor(self, root: Array, r: Rounding) -> Array:
        """1 / the deviation."""
        return self._rounded(r, FACTOR, 1 / self._rounded(r, DEVIATION, root))

    def _rounded(self, r: Rounding, name: str, value: Array) -> Array:
        return r(value) if name in self.steps else value

    def operation(self, r: Rounding, differentiated: bool, straight_through: bool = False) -> Operation:
        """The norm.

        Args:
            r: the rounding.
            differentiated: whether its derivative is that of these steps, or a kernel's that keeps mean and factor.
            straight_through: whether the derivatives of these steps are not rounded, as where rounding is emulated.
        """

        def forward(x: Array, weight: Array, bias: Array, eps: float) -> tuple[Array, Any]:
            values = self.moments(r, x)
            values[DEVIATION] = self.root(values[VARIANCE], eps, r)
            values[FACTOR] = self.factor(values[DEVIATION], r)
            centre = x.mean(-1, keepdims=True) if self.exact_centre else values[MEAN]
            xhat = self._rounded(r, NORMALIZED, (x - centre) * values[FACTOR])
            return xhat * weight + bias, (x - centre, xhat, values, weight)

        def backward(dy: Array, cache: Any) -> tuple[Array, Array, Array]:
            z, xhat, values, weight = cache
            of_derivative = _unrounded if straight_through else r
            g, factor = self._rounded(of_derivative, NORMALIZED, dy * weight), values[FACTOR]
            parameters = (dy * xhat).reshape(-1, dy.shape[-1]).sum(0), dy.reshape(-1, dy.shape[-1]).sum(0)
            if differentiated:
                reciprocal = 1 / self._rounded(r, DEVIATION, values[DEVIATION])
                kept = factor if WITH_EPS in self.steps and not straight_through else reciprocal  # before a cast
                return self._derivative(of_derivative, g, z, values, kept), *parameters
            means = g.mean(-1, keepdims=True), (g * xhat).mean(-1, keepdims=True)
            return factor * (g - means[0] - xhat * means[1]), *parameters

        return Operation("layer_norm", forward, backward)

    def _derivative(self, r: Rounding, g: Array, z: Array, values: dict[str, Array], kept: Array) -> Array:
        """Σ g ∂x̂/∂x step by step, where x̂ = z · factor and z = x - mean; the root keeps 1 / the deviation."""

        step = partial(self._rounded, r)
        channels, factor = g.shape[-1], values[FACTOR]
        direct = g * factor
        of_centre = -direct.sum(-1, keepdims=True)
        of_factor = step(FACTOR, (g * z).sum(-1, keepdims=True))
        root = values[DEVIATION]
        of_root = step(DEVIATION, -of_factor * kept**2)
        of_variance = step(WITH_EPS, of_root / (2 * root))
        of_variance = step(VARIANCE, np.where(values[VARIANCE] >= 0, of_variance, 0))
        of_mean: Array | float = 0.0 if self.exact_centre else step(MEAN, of_centre)
        of_exact: Array | float = of_centre if self.exact_centre else 0.0
        if self.one_pass and self.exact_variance:
            of_exact = -2 * of_variance * values[X].mean(-1, keepdims=True)
        elif self.one_pass:
            of_square = step(SQUARE_OF_MEAN, -of_variance)
            term = step(MEAN, of_square * values[MEAN])
            of_mean = step(MEAN, step(MEAN, of_mean + term) + term)  # one for each factor of the square
        of_mean_square = step(MEAN_SQUARE, of_variance) if self.one_pass else of_variance
        of_squares = step(SQUARES, step(SUM_OF_SQUARES, of_mean_square / channels))
        own = values[X] if self.one_pass else values[CENTRED]
        of_own = 2 * step(X if self.one_pass else CENTRED, of_squares * own)
        if not self.one_pass and self.exact_variance:
            of_exact = -of_own.sum(-1, keepdims=True)
        elif not self.one_pass:
            of_mean = step(MEAN, of_mean - of_own.sum(-1, keepdims=True))
        through_mean = step(X, step(SUM, of_mean / channels))
        return direct + step(X, of_own + through_mean) + of_exact / channels


def _unrounded(x: Array) -> Array:
    return x
