"""Approximations of GELU: x g(x) with another gate g, whose numbers are fitted, and tables."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from scipy.special import erf

from npswin.types import Array
from npswin.verify.fits.functions import gelu, sigmoid, tanh_gelu
from npswin.verify.fits.tables import Known, tables


def gelu_slope(x: Array) -> Array:
    """Φ(x) + x φ(x)."""
    return 0.5 * (1 + erf(x / math.sqrt(2))) + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)


OF_GELU = {"its derivative is GELU's": gelu_slope}
OUTSIDE = {
    "a ReLU": Known(lambda x: np.maximum(x, 0), lambda x: np.where(x > 0, 1.0, 0.0)),
    "GELU": Known(gelu, gelu_slope),
}


class Curve(NamedTuple):
    """A function of each number.

    Attributes:
        words: of it.
        function: itself.
        fitted: how many numbers of it were fitted.
        slopes: what a port may take for its derivative, by words.
        stepped: whether it is constant between its steps.
    """

    words: str
    function: Callable[[Array], Array]
    fitted: int = 0
    slopes: Mapping[str, Callable[[Array], Array]] = OF_GELU
    stepped: bool = False


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


def _tanh(function: Callable[[Array], Array], largest: float) -> Callable[[Array], Array]:
    """GELU by another function in place of tanh, of an argument that is limited."""

    def approximated(x: Array) -> Array:
        argument = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
        return 0.5 * x * (1 + function(np.clip(argument, -largest, largest)))

    return approximated


TANHS: dict[str, tuple[Callable[[Array], Array], float]] = {
    "t, limited to -1 ... 1": (lambda t: t, 1.0),
    "t / (1 + |t|)": (lambda t: t / (1 + np.abs(t)), np.inf),
    "t - t³/3": (lambda t: t - t**3 / 3, np.inf),
    "t (27 + t²) / (27 + 9 t²)": (lambda t: t * (27 + t * t) / (27 + 9 * t * t), np.inf),
    "t (27 + t²) / (27 + 9 t²) of t limited to -3 ... 3": (lambda t: t * (27 + t * t) / (27 + 9 * t * t), 3.0),
    "t (15 + t²) / (15 + 6 t²)": (lambda t: t * (15 + t * t) / (15 + 6 * t * t), np.inf),
    "t (15 + t²) / (15 + 6 t²), limited to -1 ... 1": (
        lambda t: np.clip(t * (15 + t * t) / (15 + 6 * t * t), -1, 1),
        np.inf,
    ),
    "t (945 + 105 t² + t⁴) / (945 + 420 t² + 15 t⁴), limited to -1 ... 1": (
        lambda t: np.clip(t * (945 + 105 * t**2 + t**4) / (945 + 420 * t**2 + 15 * t**4), -1, 1),
        np.inf,
    ),
}
APPROXIMATIONS |= {f"GELU is by tanh(t), which is {words}": _tanh(*tanh) for words, tanh in TANHS.items()}
APPROXIMATIONS |= {f"erf is Taylor's series of {terms} terms": _series(terms) for terms in range(1, 9)}


def gelu_curves(x: Array, found: Array, tolerance: float, reached: float = 0.0) -> Iterator[Curve]:
    """Functions of x that the found numbers may be.

    Args:
        x: the arguments.
        found: the port's numbers.
        tolerance: the largest difference of equal numbers.
        reached: the largest size of the arguments elsewhere.
    """
    for words, function in APPROXIMATIONS.items():
        yield Curve(words, function)
    gate, of = _gate(x, found)
    if len(gate) >= FEWEST:
        yield from _fitted_gates(gate, of)
    for table in tables(Known(gelu, gelu_slope), x, found, tolerance, True, OUTSIDE, reached):
        slopes = {"its derivative is read from such a table of GELU's": table.slope, **OF_GELU}
        yield Curve(f"GELU is read {table.words}", table.read, 0, slopes, table.stepped)


def _gate(x: Array, found: Array) -> tuple[Array, Array]:
    seen = np.abs(x) > SMALLEST
    gate, of = found[seen] / x[seen], x[seen]
    inside = (gate > OPEN) & (gate < 1 - OPEN)
    return gate[inside], of[inside]


def _fitted_gates(gate: Array, x: Array) -> Iterator[Curve]:
    argument = np.log(gate / (1 - gate))
    slope = float((argument * x).sum() / (x * x).sum())
    yield Curve(f"x σ({slope:.5g} x) is taken", lambda z: z * sigmoid(slope * z), 1)
    powers = np.stack([x, x**3], axis=1)
    (first, third), *_ = np.linalg.lstsq(powers, argument / 2, rcond=None)
    words = f"x (1 + tanh({first:.5g} (x + {third / first:.5g} x³))) / 2 is taken"
    yield Curve(words, lambda z: 0.5 * z * (1 + np.tanh(first * z + third * z**3)), 2)
    line = np.stack([x, np.ones_like(x)], axis=1)
    (slope_of_line, offset), *_ = np.linalg.lstsq(line, gate, rcond=None)
    words = f"x times the gate {slope_of_line:.5g} x + {offset:.5g}, limited to 0 ... 1"
    yield Curve(words, lambda z: z * np.clip(slope_of_line * z + offset, 0, 1), 2)
