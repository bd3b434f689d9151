"""Operations of which some steps have few bits: the sum of a product, the mean of a norm, the sum of a softmax."""

from collections.abc import Callable

import numpy as np
from scipy.special import erf

from npswin.types import Array
from npswin.verify.port.operation_steps import Rounding
from npswin.verify.port.rounded_norms import (
    FACTOR,
    MEAN,
    MEAN_SQUARE,
    NORMALIZED,
    SQUARE_OF_MEAN,
    SQUARES,
    VARIANCE,
    RoundedNorm,
    X,
)


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
PARTIAL_NORMS = (
    RoundedNorm(frozenset({MEAN, VARIANCE})),
    RoundedNorm(frozenset({MEAN})),
    RoundedNorm(frozenset({FACTOR})),
    RoundedNorm(frozenset({NORMALIZED})),
    RoundedNorm(frozenset({SQUARES}), one_pass=True),
    RoundedNorm(frozenset({SQUARES, MEAN_SQUARE}), one_pass=True),
    RoundedNorm(frozenset({MEAN, MEAN_SQUARE}), one_pass=True),
    RoundedNorm(frozenset({X, MEAN, SQUARES, MEAN_SQUARE, SQUARE_OF_MEAN, VARIANCE}), one_pass=True),
)
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
