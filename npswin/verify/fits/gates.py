"""Approximations of GELU: x g(x) with another gate g, whose numbers are fitted, and tables."""

import math
from collections.abc import Callable, Iterator

import numpy as np

from npswin.types import Array
from npswin.verify.fits.functions import gelu, sigmoid, tanh_gelu
from npswin.verify.fits.tables import tables

Curve = tuple[str, Callable[[Array], Array], int]  # words, the function of each number, how many numbers were fitted
SMALLEST = 0.05  # a number so near to 0 does not tell the gate
OPEN = 1e-3  # a gate so near to 0 or 1 does not tell its argument
FEWEST = 16
NEAR = 1e-3


def _ibert(x: Array) -> Array:
    """Kim et al. 2021, equation 8."""
    z = x / math.sqrt(2)
    return 0.5 * x * (1 + np.sign(z) * (1 - 0.2888 * (np.minimum(np.abs(z), 1.769) - 1.769) ** 2))


def _three_terms(x: Array) -> Array:
    """Abramowitz and Stegun 1964, formula 7.1.25."""
    z = np.abs(x) / math.sqrt(2)
    t = 1 / (1 + 0.47047 * z)
    return 0.5 * x * (1 + np.sign(x) * (1 - (0.3480242 * t - 0.0958798 * t**2 + 0.7478556 * t**3) * np.exp(-z * z)))


def _of_magnitude(function: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """x g(|x|), where the right function is x g(x)."""
    return lambda x: np.sign(x) * function(np.abs(x))


def _series(terms: int) -> Callable[[Array], Array]:
    def approximated(x: Array) -> Array:
        z = x / math.sqrt(2)
        erf = sum((-1) ** n * z ** (2 * n + 1) / (math.factorial(n) * (2 * n + 1)) for n in range(terms))
        return 0.5 * x * (1 + 2 / math.sqrt(math.pi) * erf)

    return approximated


APPROXIMATIONS: dict[str, Callable[[Array], Array]] = {
    "erf is I-BERT's polynomial of degree 2": _ibert,
    "erf is Abramowitz and Stegun's formula of three terms (7.1.25)": _three_terms,
}
APPROXIMATIONS |= {
    "erf is of |x|, without the sign of x: x (1 + erf(|x|/√2)) / 2": _of_magnitude(gelu),
    "tanh is of |x|, without the sign of x: x (1 + tanh(0.79788 (|x| + 0.044715 |x|³))) / 2": _of_magnitude(tanh_gelu),
    "it is of |x|: |x| (1 + erf(|x|/√2)) / 2": lambda x: gelu(np.abs(x)),
}
APPROXIMATIONS |= {f"erf is Taylor's series of {terms} terms": _series(terms) for terms in range(1, 9)}


def gelu_curves(x: Array, found: Array, tolerance: float) -> Iterator[Curve]:
    """Functions of x that the found numbers may be."""
    for words, function in APPROXIMATIONS.items():
        yield words, function, 0
    gate, of = _gate(x, found)
    if len(gate) >= FEWEST:
        yield from _fitted_gates(gate, of)
    for words, table in tables(gelu, x, found, tolerance, True):
        yield f"GELU is read {words}", table, 0


def _gate(x: Array, found: Array) -> tuple[Array, Array]:
    seen = np.abs(x) > SMALLEST
    gate, of = found[seen] / x[seen], x[seen]
    inside = (gate > OPEN) & (gate < 1 - OPEN)
    return gate[inside], of[inside]


def _fitted_gates(gate: Array, x: Array) -> Iterator[Curve]:
    argument = np.log(gate / (1 - gate))
    slope = float((argument * x).sum() / (x * x).sum())
    yield f"x σ({slope:.5g} x) is taken", lambda z: z * sigmoid(slope * z), 1
    powers = np.stack([x, x**3], axis=1)
    (first, third), *_ = np.linalg.lstsq(powers, argument / 2, rcond=None)
    words = f"x (1 + tanh({first:.5g} (x + {third / first:.5g} x³))) / 2 is taken"
    yield words, lambda z: 0.5 * z * (1 + np.tanh(first * z + third * z**3)), 2
    line = np.stack([x, np.ones_like(x)], axis=1)
    (slope_of_line, offset), *_ = np.linalg.lstsq(line, gate, rcond=None)
    words = f"x times the gate {slope_of_line:.5g} x + {offset:.5g}, limited to 0 ... 1"
    yield words, lambda z: z * np.clip(slope_of_line * z + offset, 0, 1), 2
