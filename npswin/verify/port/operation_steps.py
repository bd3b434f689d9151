"""Operations step by step, with the result of each step rounded, as where every array of a port has few bits."""

from collections.abc import Callable

import numpy as np
from scipy.special import erf

from npswin.types import Array

Rounding = Callable[[Array], Array]
MOST_PARTIAL_SUMS = 2**22  # of a product whose sums are taken in few bits


def _norm(r: Rounding, x: Array, weight: Array, bias: Array, eps: float) -> Array:
    centred = r(x - r(x.mean(axis=-1, keepdims=True)))
    variance = r(r(centred * centred).mean(axis=-1, keepdims=True))
    return _scaled(r, centred, variance, weight, bias, eps)


def _norm_by_squares(r: Rounding, x: Array, weight: Array, bias: Array, eps: float) -> Array:
    """With the variance ⟨x²⟩ − ⟨x⟩²."""
    mean = r(x.mean(axis=-1, keepdims=True))
    variance = r(r(r(x * x).mean(axis=-1, keepdims=True)) - r(mean * mean))
    return _scaled(r, r(x - mean), variance, weight, bias, eps)


def _norm_by_sum(r: Rounding, x: Array, weight: Array, bias: Array, eps: float) -> Array:
    """With the sum of squares in few bits, which overflows before it is divided."""
    centred = r(x - r(r(x.sum(axis=-1, keepdims=True)) / x.shape[-1]))
    variance = r(r(r(centred * centred).sum(axis=-1, keepdims=True)) / x.shape[-1])
    return _scaled(r, centred, variance, weight, bias, eps)


def _norm_by_division(r: Rounding, x: Array, weight: Array, bias: Array, eps: float) -> Array:
    """With a division by the root in place of a product with its reciprocal."""
    centred = r(x - r(x.mean(axis=-1, keepdims=True)))
    variance = r(r(centred * centred).mean(axis=-1, keepdims=True))
    return r(r(r(centred / r(np.sqrt(r(variance + eps)))) * weight) + bias)


def _scaled(r: Rounding, centred: Array, variance: Array, weight: Array, bias: Array, eps: float) -> Array:
    return r(r(r(centred * r(1 / r(np.sqrt(r(variance + eps))))) * weight) + bias)


def _softmax(r: Rounding, x: Array) -> Array:
    powers = r(np.exp(r(x - x.max(axis=-1, keepdims=True))))
    return r(powers / r(powers.sum(axis=-1, keepdims=True)))


def _softmax_without_shift(r: Rounding, x: Array) -> Array:
    """Without the maximum, so that exp overflows."""
    powers = r(np.exp(x))
    return r(powers / r(powers.sum(axis=-1, keepdims=True)))


def _gelu(r: Rounding, x: Array) -> Array:
    return r(r(0.5 * x) * r(1 + r(erf(r(x / np.sqrt(2))))))


def _linear(r: Rounding, x: Array, weight: Array, *bias: Array) -> Array:
    y = _product(r, x, weight.T)
    return r(y + bias[0]) if bias else y


def _scores(r: Rounding, q: Array, k: Array) -> Array:
    return _product(r, q, k.swapaxes(-1, -2))


def _product(r: Rounding, a: Array, b: Array) -> Array:
    """a b with each partial sum rounded."""
    terms = a.shape[-1]
    if a.size * b.shape[-1] > MOST_PARTIAL_SUMS:
        return r(a @ b)
    total = np.zeros((), a.dtype)
    for index in range(terms):
        total = r(total + r(a[..., index, None] * b[..., index : index + 1, :]))
    return total


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
STEPS: dict[str, tuple[Callable[..., Array], ...]] = {
    "layer_norm": (_norm, _norm_by_squares, _norm_by_sum, _norm_by_division),
    "softmax": (_softmax, _softmax_without_shift),
    "gelu": (_gelu,),
    "linear": (_linear,),
    "scores": (_scores,),
    "mix": (_product,),
}
