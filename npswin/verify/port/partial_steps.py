"""Operations of which one step has few bits: the sum of a product, the mean of a norm, the sum of a softmax."""

from collections.abc import Callable

import numpy as np
from scipy.special import erf

from npswin.types import Array
from npswin.verify.port.operation_steps import Rounding


def _sum_in_tiles(size: int) -> Callable[..., Array]:
    """a b with the sum kept in few bits: it is rounded after each tile of so many terms."""

    def product(r: Rounding, a: Array, b: Array) -> Array:
        total = np.zeros((), a.dtype)
        for start in range(0, a.shape[-1], size):
            total = r(total + a[..., start : start + size] @ b[..., start : start + size, :])
        return total

    return product


def _linear_in_tiles(size: int) -> Callable[..., Array]:
    product = _sum_in_tiles(size)

    def linear(r: Rounding, x: Array, weight: Array, *bias: Array) -> Array:
        y = product(r, x, weight.T)
        return y + bias[0] if bias else y

    return linear


def _scores_in_tiles(size: int) -> Callable[..., Array]:
    product = _sum_in_tiles(size)
    return lambda r, q, k: product(r, q, k.swapaxes(-1, -2))


def _moments(x: Array) -> tuple[Array, Array]:
    mean = x.mean(axis=-1, keepdims=True)
    return mean, ((x - mean) ** 2).mean(axis=-1, keepdims=True)


def _factor(variance: Array, eps: float) -> Array:
    return 1 / np.sqrt(variance + eps)


def _rounded_moments(r: Rounding, x: Array, eps: float) -> tuple[Array, Array]:
    mean, variance = _moments(x)
    factor = _factor(r(variance), eps)
    return (x - r(mean)) * factor, factor


def _rounded_mean(r: Rounding, x: Array, eps: float) -> tuple[Array, Array]:
    mean, variance = _moments(x)
    factor = _factor(variance, eps)
    return (x - r(mean)) * factor, factor


def _rounded_squares(r: Rounding, x: Array, eps: float) -> tuple[Array, Array]:
    mean, _ = _moments(x)
    factor = _factor(r(x * x).mean(axis=-1, keepdims=True) - mean * mean, eps)
    return (x - mean) * factor, factor


def _rounded_mean_of_squares(r: Rounding, x: Array, eps: float) -> tuple[Array, Array]:
    mean, _ = _moments(x)
    factor = _factor(r(r(x * x).mean(axis=-1, keepdims=True)) - mean * mean, eps)
    return (x - mean) * factor, factor


def _rounded_variance_by_squares(r: Rounding, x: Array, eps: float) -> tuple[Array, Array]:
    mean, few = x.mean(axis=-1, keepdims=True), r(x)
    squares, of_mean = r(r(few * few).mean(axis=-1, keepdims=True)), r(few.mean(axis=-1, keepdims=True))
    factor = _factor(r(squares - r(of_mean * of_mean)), eps)
    return (x - mean) * factor, factor


def _rounded_means(r: Rounding, x: Array, eps: float) -> tuple[Array, Array]:
    mean, mean_square = r(x.mean(axis=-1, keepdims=True)), r((x * x).mean(axis=-1, keepdims=True))
    factor = _factor(np.maximum(mean_square - mean * mean, 0), eps)
    return (x - mean) * factor, factor


def _rounded_factor(r: Rounding, x: Array, eps: float) -> tuple[Array, Array]:
    mean, variance = _moments(x)
    factor = r(_factor(variance, eps))
    return (x - mean) * factor, factor


def _rounded_normalized(r: Rounding, x: Array, eps: float) -> tuple[Array, Array]:
    mean, variance = _moments(x)
    factor = _factor(variance, eps)
    return r((x - mean) * factor), factor


def _powers(x: Array) -> Array:
    return np.exp(x - x.max(axis=-1, keepdims=True))


def _rounded_sum(r: Rounding, x: Array) -> Array:
    powers = _powers(x)
    return powers / r(powers.sum(axis=-1, keepdims=True))


def _rounded_reciprocal_sum(r: Rounding, x: Array) -> Array:
    powers = _powers(x)
    return powers * r(1 / powers.sum(axis=-1, keepdims=True))


def _rounded_powers(r: Rounding, x: Array) -> Array:
    powers = r(_powers(x))
    return powers / powers.sum(axis=-1, keepdims=True)


def _rounded_erf(r: Rounding, x: Array) -> Array:
    return 0.5 * x * (1 + r(erf(r(x / np.sqrt(2)))))


TILES = (1, 2, 4, 8, 16, 32)
# By what is rounded: (rounding, x, eps) -> the normalized numbers and the factor 1/deviation.
PARTIAL_NORMS: dict[str, Callable[[Rounding, Array, float], tuple[Array, Array]]] = {
    "mean and variance are": _rounded_moments,
    "the mean is": _rounded_mean,
    "1 / the deviation is": _rounded_factor,
    "the normalized numbers are": _rounded_normalized,
    "the variance is E[x²] - E[x]², with squares": _rounded_squares,
    "the variance is E[x²] - E[x]², with squares and their mean": _rounded_mean_of_squares,
    "the variance is E[x²] - E[x]², with both means": _rounded_means,
    "the variance is E[x²] - E[x]², with each step": _rounded_variance_by_squares,
}
# By what is rounded: (rounding, inputs) -> the result.
PARTIAL_STEPS: dict[str, dict[str, Callable[..., Array]]] = {
    "softmax": {
        "the sum of exponentials is": _rounded_sum,
        "the reciprocal of the sum is": _rounded_reciprocal_sum,
        "the exponentials are": _rounded_powers,
    },
    "gelu": {"erf is": _rounded_erf},
    "linear": {f"the sum is, after each {size} terms,": _linear_in_tiles(size) for size in TILES},
    "scores": {f"the sum is, after each {size} terms,": _scores_in_tiles(size) for size in TILES},
    "mix": {f"the sum is, after each {size} terms,": _sum_in_tiles(size) for size in TILES},
}
