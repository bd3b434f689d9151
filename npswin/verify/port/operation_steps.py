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


def _norm_by_rsqrt(r: Rounding, x: Array, weight: Array, bias: Array, eps: float) -> Array:
    """With the reciprocal of the root as one step."""
    centred = r(x - r(x.mean(axis=-1, keepdims=True)))
    variance = r(r(centred * centred).mean(axis=-1, keepdims=True))
    return r(r(r(centred * r(1 / np.sqrt(r(variance + eps)))) * weight) + bias)


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


STEPS: dict[str, tuple[Callable[..., Array], ...]] = {
    "layer_norm": (_norm, _norm_by_squares, _norm_by_sum, _norm_by_division, _norm_by_rsqrt),
    "softmax": (_softmax, _softmax_without_shift),
    "gelu": (_gelu,),
    "linear": (_linear,),
    "scores": (_scores,),
    "mix": (_product,),
}
