"""The derivatives of softmax and GELU, and the terms that they may be made of by mistake."""

from collections.abc import Callable

import numpy as np
from scipy.special import erf

from npswin.types import Array
from npswin.verify.fits.functions import sigmoid
from npswin.verify.mistakes.terms.derivative import Derivative, Known, Term, products

STEP = 1e-6

_LEFT: dict[str, Term] = {
    "p": lambda known: known.y,
    "": lambda known: np.ones((), known.y.dtype),
    "p²": lambda known: known.y**2,
    "scores": lambda known: known.inputs[0],
    "exp(scores)": lambda known: np.exp(np.minimum(known.inputs[0], 50)),
}


def _summed(term: Term, *axes: int) -> Term:
    return lambda known: np.broadcast_to(term(known).sum(axis=axes, keepdims=True), known.y.shape)


def _weighted(name: str) -> Term:
    left = _LEFT[name]
    return lambda known: left(known) * known.dy


_OVER_KEYS = {f"Σ {name} dp".replace("  ", " "): _summed(_weighted(name), -1) for name in _LEFT}
_OVER_OTHERS = {
    "Σ p dp over the queries": _summed(_weighted("p"), -2),
    "Σ p dp over the heads": _summed(_weighted("p"), -3),
    "Σ p dp over the keys and heads": _summed(_weighted("p"), -1, -3),
    "Σ p dp over all pairs of the window": _summed(_weighted("p"), -1, -2),
    "max dp": lambda known: np.broadcast_to(known.dy.max(axis=-1, keepdims=True), known.y.shape),
}


def _keys(known: Known) -> dict[str, float]:
    keys = known.y.shape[-1]
    return {"N": float(keys), "1/N": 1 / keys} if keys > 2 else {}


SOFTMAX = {
    0: Derivative(
        "dscores = p (dp - Σ p dp), the sum over the keys",
        {"p dp": 1.0, "p Σ p dp": -1.0},
        {
            **products(_LEFT, {"dp": lambda known: known.dy}),
            **products(_LEFT, _OVER_KEYS),
            **products({"p": _LEFT["p"]}, _OVER_OTHERS),
        },
        _keys,
        {
            "the diagonal of the Jacobian alone, p (1 - p) dp": {"p dp": 1.0, "p² dp": -1.0},
            "the sum is missing": {"p dp": 1.0},
            "the sum is not weighted by p, p (dp - Σ dp)": {"p dp": 1.0, "p Σ dp": -1.0},
            "not multiplied by p": {"dp": 1.0, "Σ p dp": -1.0},
            "that of log-softmax": {"dp": 1.0, "p Σ dp": -1.0},
            "that of exp, without the division": {"exp(scores) dp": 1.0},
            "that of the identity": {"dp": 1.0},
        },
    )
}


def _density(x: Array) -> Array:
    return np.exp(-x * x / 2) / np.sqrt(2 * np.pi)


def _cdf(x: Array) -> Array:
    return 0.5 * (1 + erf(x / np.sqrt(2)))


def _tanh(x: Array) -> Array:
    return np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))


def _quick(x: Array) -> Array:
    return sigmoid(1.702 * x)


SLOPES: dict[str, Callable[[Array], Array]] = {
    "Φ(x)": _cdf,
    "x φ(x)": lambda x: x * _density(x),
    "1": np.ones_like,
    "x": lambda x: x,
    "φ(x)": _density,
    "x² φ(x)": lambda x: x * x * _density(x),
    "GELU(x)": lambda x: x * _cdf(x),
    "GELU(x) φ(x)": lambda x: x * _cdf(x) * _density(x),
    "Φ(y)": lambda x: _cdf(x * _cdf(x)),
    "y φ(y)": lambda x: x * _cdf(x) * _density(x * _cdf(x)),
    "erf(x)": erf,
    "x exp(-x²)": lambda x: x * np.exp(-x * x),
    "1 for x > 0": lambda x: (x > 0) * 1.0,
    "x, x > 0": lambda x: np.maximum(x, 0),
    "(1 + t)/2": lambda x: (1 + _tanh(x)) / 2,
    "x (1 - t²)": lambda x: x * (1 - _tanh(x) ** 2),
    "x³ (1 - t²)": lambda x: x**3 * (1 - _tanh(x) ** 2),
    "t": _tanh,
    "σ(1.702 x)": _quick,
    "x σ(1.702 x) (1 - σ(1.702 x))": lambda x: x * _quick(x) * (1 - _quick(x)),
    "σ(x)": sigmoid,
    "x σ(x) (1 - σ(x))": lambda x: x * sigmoid(x) * (1 - sigmoid(x)),
}
_CONSTANTS = {
    "√(2π)": float(np.sqrt(2 * np.pi)),
    "1/√(2π)": float(1 / np.sqrt(2 * np.pi)),
    "√(2/π)": float(np.sqrt(2 / np.pi)),
    "√(1/2π)": float(np.sqrt(0.5 / np.pi)),
    "√2": float(np.sqrt(2)),
    "1/√2": float(np.sqrt(0.5)),
    "1.702": 1.702,
    "3 · 0.044715 /√(2π)": float(3 * 0.044715 / np.sqrt(2 * np.pi)),
}


def _slope(function: Callable[[Array], Array]) -> Term:
    return lambda known: (known.dy * function(known.inputs[0].astype(np.float64))).astype(known.dy.dtype)


GELU = {
    0: Derivative(
        "dx = dy (Φ(x) + x φ(x)), with Φ and φ of the normal distribution, not t = tanh(√(2/π) (x + 0.044715 x³))",
        {"dy Φ(x)": 1.0, "dy x φ(x)": 1.0},
        {f"dy {name}": _slope(function) for name, function in SLOPES.items()},
        lambda _: _CONSTANTS,
        {
            "that of ReLU": {"dy 1 for x > 0": 1.0},
            "that of the identity": {"dy 1": 1.0},
            "that of SiLU": {"dy σ(x)": 1.0, "dy x σ(x) (1 - σ(x))": 1.0},
            "that of the sigmoid approximation": {
                "dy σ(1.702 x)": 1.0,
                "dy x σ(1.702 x) (1 - σ(1.702 x))": 1.702,
            },
            "that of the tanh approximation": {
                "dy (1 + t)/2": 1.0,
                "dy x (1 - t²)": _CONSTANTS["1/√(2π)"],
                "dy x³ (1 - t²)": _CONSTANTS["3 · 0.044715 /√(2π)"],
            },
            "at GELU's result, y": {"dy Φ(y)": 1.0, "dy y φ(y)": 1.0},
            "GELU itself": {"dy GELU(x)": 1.0},
            "the sign of x φ(x) is the other one": {"dy Φ(x)": 1.0, "dy x φ(x)": -1.0},
        },
    )
}
