"""Functions that ports compute in place of exp, and other weights of keys that are divided by their sum."""

import math
from collections.abc import Callable

import numpy as np

from npswin.types import Array

LN2 = math.log(2)
SCHRAUDOLPH = 2.0**23 / LN2  # of Schraudolph 1999, for the bits of a float32
EXPONENT_BIAS = 127 * 2.0**23
OFFSET_STEP = 64.0  # the distance of float32 numbers as large as the bits
LARGEST_OFFSET = 700_000.0  # that is subtracted from the bits for a smaller error: 366393, 486411 and others


def from_bits(offset: float) -> Callable[[Array], Array]:
    """exp(x) as the number whose bits are linear in x, computed in float32 (Schraudolph 1999).

    Args:
        offset: subtracted from the bits.
    """

    def exponential(x: Array) -> Array:
        scaled = np.clip(x, -80, 80).astype(np.float32) * np.float32(SCHRAUDOLPH)
        return (scaled + np.float32(EXPONENT_BIAS - offset)).astype(np.int32).view(np.float32).astype(np.float64)

    return exponential


def _series(terms: int) -> Callable[[Array], Array]:
    return lambda x: sum((x**power / math.factorial(power) for power in range(terms + 1)), np.zeros_like(x))


def _power(count: int) -> Callable[[Array], Array]:
    return lambda x: (1 + x / count) ** count


def _powers_of_two(mantissa: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """2ᵏ m(f) for x = (k + f) ln 2, with 0 ≤ f < 1."""

    def exponential(x: Array) -> Array:
        whole = np.floor(x / LN2)
        return np.exp2(whole) * mantissa(x / LN2 - whole)

    return exponential


def _integer_only(x: Array) -> Array:
    """Kim et al. 2021, I-BERT, section 3.5."""
    whole = np.floor(-x / LN2)
    rest = x + whole * LN2
    return (0.3585 * (rest + 1.353) ** 2 + 0.344) * np.exp2(-whole)


EXPONENTIALS: dict[str, Callable[[Array], Array]] = {
    "2ᵏ (1 + f) for x = (k + f) ln 2": _powers_of_two(lambda f: 1 + f),
    "I-BERT's polynomial of degree 2 with powers of 2": _integer_only,
}
EXPONENTIALS |= {f"Taylor's series up to degree {degree}": _series(degree) for degree in range(1, 8)}
EXPONENTIALS |= {f"(1 + x/{2**n})^{2**n}": _power(2**n) for n in range(1, 13)}
