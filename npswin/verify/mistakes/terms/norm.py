"""The derivatives of layer normalization, and the terms that they may be made of by mistake."""

import numpy as np

from npswin.types import Array
from npswin.verify.mistakes.terms.derivative import Derivative, Known, Term, products

LETTERS = "g = dy · weight, x̂ the input less its mean over its deviation σ, ⟨·⟩ the mean over the C channels"


def _deviation(known: Known) -> Array:
    x = known.inputs[0]
    return np.sqrt(x.var(axis=-1, keepdims=True) + x.dtype.type(known.settings["eps"]))


def _normalized(known: Known) -> Array:
    x = known.inputs[0]
    return (x - x.mean(axis=-1, keepdims=True)) / _deviation(known)


def _g(known: Known) -> Array:
    return known.dy * known.inputs[1]


def _mean(term: Term) -> Term:
    return lambda known: term(known).mean(axis=-1, keepdims=True)


def _spread(term: Term) -> Term:
    return lambda known: np.broadcast_to(term(known), known.dy.shape)


def _of_tokens(term: Term) -> Term:
    """The mean over all tokens, of each channel."""
    return lambda known: term(known).mean(axis=tuple(range(known.dy.ndim - 1)), keepdims=True)


def _of_all(term: Term) -> Term:
    return lambda known: term(known).mean(keepdims=True)


def _dx(known: Known, weight: Array | None = None) -> Array:
    """The right derivative, with the operation's weight if no other one is given."""
    g, xhat = known.dy * (known.inputs[1] if weight is None else weight), _normalized(known)
    mean, product = g.mean(-1, keepdims=True), (g * xhat).mean(-1, keepdims=True)
    return (g - mean - xhat * product) / _deviation(known)


def _dx_by_gradient(known: Known) -> Array:
    """The derivative with the weight's own gradient in place of the weight."""
    return _dx(known, (known.dy * _normalized(known)).reshape(-1, known.dy.shape[-1]).sum(axis=0))


TENSORS: dict[str, Term] = {
    "x̂": _normalized,
    "x": lambda known: known.inputs[0],
    "y": lambda known: known.y,
    "g": _g,
    "dy": lambda known: known.dy,
    "weight": lambda known: known.inputs[1],
}
SCALES: dict[str, Term] = {
    "/ σ": lambda known: 1 / _deviation(known),
    "": lambda known: np.ones((), known.dy.dtype),
    "/ σ²": lambda known: _deviation(known) ** -2,
    "σ": _deviation,
}


def _some(*names: str) -> dict[str, Term]:
    return {name: TENSORS[name] for name in names}


def _means(left: str, *right: str) -> dict[str, Term]:
    """left ⟨right x̂⟩ and the like."""
    of = products(_some("g", "dy"), _some(*right))
    return products(_some(left), {f"⟨{name}⟩": _mean(term) for name, term in of.items()})


_MEANS: dict[str, Term] = {
    **{f"⟨{name}⟩": _mean(term) for name, term in _some("g", "dy").items()},
    "⟨g⟩ over the tokens": _of_tokens(_g),
    "⟨g⟩ over all of the map": _of_all(_g),
    **{f"⟨{name}⟩": _mean(term) for name, term in products(_some("g", "dy"), _some("x̂")).items()},
    "weight ⟨dy⟩": lambda known: known.inputs[1] * known.dy.mean(-1, keepdims=True),
    "weight x̂ ⟨dy x̂⟩": lambda known: (
        known.inputs[1] * _normalized(known) * (known.dy * _normalized(known)).mean(-1, keepdims=True)
    ),
    "x̂ ⟨g x̂⟩ over the tokens": lambda known: (
        _normalized(known) * _of_tokens(lambda one: _g(one) * _normalized(one))(known)
    ),
    **_means("x̂", "x̂", "x", "y"),
    **_means("x", "x", "x̂"),
    **_means("y", "y", "x̂"),
}
_INPUT = Derivative(
    f"dx = (g - ⟨g⟩ - x̂ ⟨g x̂⟩) / σ, with {LETTERS}",
    {"g / σ": 1.0, "⟨g⟩ / σ": -1.0, "x̂ ⟨g x̂⟩ / σ": -1.0},
    {
        **{name: _spread(term) for name, term in products({**_some("g", "dy"), **_MEANS}, SCALES).items()},
        "(dx with dweight in place of weight)": _dx_by_gradient,
    },
    lambda known: _channels(known.dy.shape[-1]),
    {
        "the derivative through the mean is missing": {"g / σ": 1.0, "x̂ ⟨g x̂⟩ / σ": -1.0},
        "the derivative through the variance is missing": {"g / σ": 1.0, "⟨g⟩ / σ": -1.0},
        "mean and variance are taken as constants": {"g / σ": 1.0},
        "not divided by the deviation σ": {"g": 1.0, "⟨g⟩": -1.0, "x̂ ⟨g x̂⟩": -1.0},
        "divided by the deviation σ twice": {"g / σ²": 1.0, "⟨g⟩ / σ²": -1.0, "x̂ ⟨g x̂⟩ / σ²": -1.0},
        "dy is not multiplied by the gain": {"dy / σ": 1.0, "⟨dy⟩ / σ": -1.0, "x̂ ⟨dy x̂⟩ / σ": -1.0},
        "with the weight after an optimizer's step along its gradient dweight": {
            "g / σ": 1.0,
            "⟨g⟩ / σ": -1.0,
            "x̂ ⟨g x̂⟩ / σ": -1.0,
            "(dx with dweight in place of weight)": None,
        },
        "the gain multiplies the result in place of dy": {
            "g / σ": 1.0,
            "weight ⟨dy⟩ / σ": -1.0,
            "weight x̂ ⟨dy x̂⟩ / σ": -1.0,
        },
    },
)


def _channels(count: int) -> dict[str, float]:
    root = float(np.sqrt(count))
    numbers = {"C": float(count), "1/C": 1 / count, "√C": root, "1/√C": 1 / root}
    return numbers | ({"C/(C-1)": count / (count - 1)} if count > 1 else {})


def _summed(term: Term) -> Term:
    return lambda known: term(known).reshape(-1, known.dy.shape[-1]).sum(axis=0)


def _rows(known: Known) -> dict[str, float]:
    rows, channels = known.dy.size // known.dy.shape[-1], known.dy.shape[-1]
    numbers = {"1/tokens": 1 / rows, "1/B": 1 / len(known.dy), **_channels(channels)}
    return {words: number for words, number in numbers.items() if number not in (1.0, 0.5)}


_FACTORS: dict[str, Term] = {
    **_some("x̂", "x", "y"),
    "(x - mean)": lambda known: _normalized(known) * _deviation(known),
    "x̂ / σ": lambda known: _normalized(known) / _deviation(known),
    "x̂²": lambda known: _normalized(known) ** 2,
    "": lambda known: np.ones((), known.dy.dtype),
    "/ σ": lambda known: 1 / _deviation(known),
}
_SUMS = {
    f"Σ {name}": _summed(_spread(term)) for name, term in products({**_some("dy", "g"), "dx": _dx}, _FACTORS).items()
}
NORM = {
    0: _INPUT,
    1: Derivative("dweight = Σ dy x̂ over all tokens", {"Σ dy x̂": 1.0}, _SUMS, _rows),
    2: Derivative("dbias = Σ dy over all tokens", {"Σ dy": 1.0}, _SUMS, _rows),
}
