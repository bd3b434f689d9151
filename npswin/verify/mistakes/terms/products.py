"""The derivatives of linear layers and of attention's products, and the terms that they may be made of by mistake."""

from collections.abc import Callable

import numpy as np

from npswin.types import Array
from npswin.verify.mistakes.not_applicable import NotApplicable
from npswin.verify.mistakes.terms.derivative import Derivative, Known, Term, counts


def _rows(array: Array) -> Array:
    return array.reshape(-1, array.shape[-1])


def _times_square(known: Known) -> Array:
    weight = known.inputs[1]
    if weight.shape[0] != weight.shape[1]:
        raise NotApplicable("the weight is not square")
    return known.dy @ weight.T


def _same_width(known: Known) -> Array:
    if known.dy.shape != known.inputs[0].shape:
        raise NotApplicable("dx has another width than dy")
    return known.dy


def _outer(change: Term) -> Term:
    """dyᵀ times something of x's shape, summed over all rows."""
    return lambda known: _rows(known.dy).T @ _rows(change(known))


def _x(known: Known) -> Array:
    return known.inputs[0]


def _part(part: int) -> Term:
    """The share of q, k or v in dx."""

    def term(known: Known) -> Array:
        third = known.dy.shape[-1] // 3
        if known.dy.ndim != 4 or 3 * third != known.dy.shape[-1]:
            raise NotApplicable("not the layer of q, k and v")
        columns = slice(part * third, (part + 1) * third)
        return known.dy[..., columns] @ known.inputs[1][columns]

    return term


def _memory(known: Known) -> Array:
    weight = known.inputs[1]
    return known.dy @ weight.reshape(weight.shape[::-1]).T


def _own_gradient(known: Known) -> Array:
    """The derivative by the weight."""
    return _rows(known.dy).T @ _rows(known.inputs[0])


_sizes = counts(
    lambda known: [
        ("rows", known.dy.size // known.dy.shape[-1]),
        ("B", len(known.dy)),
        *([("windows of all images", known.dy.shape[0] * known.dy.shape[1])] * (known.dy.ndim > 2)),
        ("C", known.inputs[0].shape[-1]),
    ]
)
_LINEAR_INPUT: dict[str, Term] = {
    "dy W": lambda known: known.dy @ known.inputs[1],
    "dy Wᵀ": _times_square,
    "dy": _same_width,
    "dy W with W's memory read as Wᵀ's": _memory,
    "the part of q": _part(0),
    "the part of k": _part(1),
    "the part of v": _part(2),
    "x": _x,
    "dy dW": lambda known: known.dy @ _own_gradient(known),
    "dy sign(dW)": lambda known: known.dy @ np.sign(_own_gradient(known)),
}
_LINEAR_WEIGHT: dict[str, Term] = {
    "dyᵀ x": _own_gradient,
    "W": lambda known: known.inputs[1],
    "sign(W)": lambda known: np.sign(known.inputs[1]),
    "dyᵀ ReLU(x)": _outer(lambda known: np.maximum(_x(known), 0)),
    "dyᵀ |x|": _outer(lambda known: np.abs(_x(known))),
    "dyᵀ (mean of x over the rows)": _outer(
        lambda known: np.broadcast_to(_rows(_x(known)).mean(axis=0), _x(known).shape)
    ),
    "dyᵀ (mean of x over the channels)": _outer(
        lambda known: np.broadcast_to(_x(known).mean(axis=-1, keepdims=True), _x(known).shape)
    ),
    "dyᵀ 1": _outer(lambda known: np.ones_like(_x(known))),
    "dyᵀ x²": _outer(lambda known: _x(known) ** 2),
    "yᵀ x": lambda known: _rows(known.y).T @ _rows(_x(known)),
    "ReLU(dy)ᵀ x": lambda known: np.maximum(_rows(known.dy), 0).T @ _rows(_x(known)),
    "(mean of dy)ᵀ x": lambda known: np.outer(_rows(known.dy).mean(axis=0), _rows(_x(known)).sum(axis=0)),
}
_LINEAR_BIAS: dict[str, Term] = {
    "Σ dy": lambda known: _rows(known.dy).sum(axis=0),
    "b": lambda known: known.inputs[2],
    "Σ |dy|": lambda known: np.abs(_rows(known.dy)).sum(axis=0),
    "Σ y": lambda known: _rows(known.y).sum(axis=0),
    "Σ dy²": lambda known: (_rows(known.dy) ** 2).sum(axis=0),
    "mean of Σ dy over the channels": lambda known: np.full(known.dy.shape[-1], _rows(known.dy).sum(axis=0).mean()),
    "Σ dy (mean of x)": lambda known: (_rows(known.dy) * _rows(_x(known)).mean(axis=1, keepdims=True)).sum(axis=0),
    "W Σ x": lambda known: known.inputs[1] @ _rows(_x(known)).sum(axis=0),
}
LINEAR = {
    0: Derivative(
        "dx = dy W, with the weight of the forward pass, which the optimizer has not yet changed by its gradient dW",
        {"dy W": 1.0},
        _LINEAR_INPUT,
        _sizes,
        {
            "the weight is transposed": {"dy Wᵀ": 1.0},
            "with the weight after an optimizer's step along its gradient dW": {"dy W": 1.0, "dy dW": None},
            "with the weight after an optimizer's step along the signs of its gradient dW": {
                "dy W": 1.0,
                "dy sign(dW)": None,
            },
        },
    ),
    1: Derivative("dW = dyᵀ x, summed over all rows", {"dyᵀ x": 1.0}, _LINEAR_WEIGHT, _sizes),
    2: Derivative("db = Σ dy over all rows", {"Σ dy": 1.0}, _LINEAR_BIAS, _sizes),
}


def _patches(known: Known, change: Callable[[Array], Array] = lambda x: x) -> Array:
    """dyᵀ times the patches of a change of the images, in the weight's memory order."""
    weight = known.inputs[1]
    side = weight.shape[-1]
    x = change(known.inputs[0])
    x = np.pad(x, [(0, 0), (0, 0), *((0, -size % side) for size in x.shape[2:])])
    batch, colours, height, width = x.shape
    rows = x.reshape(batch, colours, height // side, side, width // side, side).transpose(0, 2, 4, 1, 3, 5)
    return _rows(known.dy).T @ rows.reshape(-1, colours * side * side)


def _of_colour(colour: int) -> Callable[[Array], Array]:
    """1 in one colour's plane, 0 in the others."""

    def constant(x: Array) -> Array:
        if x.shape[1] != 3:
            raise NotApplicable("no images of three colours")
        plane = np.zeros_like(x)
        plane[:, colour] = 1
        return plane

    return constant


def _patches_of(colour: int) -> Term:
    return lambda known: _patches(known, _of_colour(colour))


PATCH_EMBED = {
    1: Derivative(
        "dW = dyᵀ x, summed over all patches",
        {"dyᵀ x": 1.0},
        {
            "dyᵀ x": _patches,
            "dyᵀ 1": lambda known: _patches(known, np.ones_like),
            "dyᵀ 1 of the first plane": _patches_of(0),
            "dyᵀ 1 of the second plane": _patches_of(1),
            "dyᵀ 1 of the third plane": _patches_of(2),
            "dyᵀ ReLU(x)": lambda known: _patches(known, lambda x: np.maximum(x, 0)),
            "W": lambda known: known.inputs[1],
        },
        _sizes,
    ),
    2: Derivative("db = Σ dy over all patches", {"Σ dy": 1.0}, {"Σ dy": _LINEAR_BIAS["Σ dy"], "b": _LINEAR_BIAS["b"]}),
}


def _transposed(array: Array) -> Array:
    return array.swapaxes(-1, -2)


def _undivided(p: Array) -> Array:
    """exp(scores - their maximum), which is not divided by its sum over the keys: 1 at the largest."""
    return p / p.max(axis=-1, keepdims=True)


def _root(known: Known) -> dict[str, float]:
    d = known.inputs[1].shape[-1]
    numbers = {"√d": d**0.5, "1/√d": d**-0.5, "d": float(d), "1/d": 1 / d, "N": float(known.dy.shape[-2])}
    numbers["1/N"] = 1 / numbers["N"]
    return {words: number for words, number in numbers.items() if number not in (1.0, 2.0, 0.5)}


_OF_SCORES: dict[str, Term] = {
    "dS k": lambda known: known.dy @ known.inputs[1],
    "dSᵀ q": lambda known: _transposed(known.dy) @ known.inputs[0],
    "dSᵀ k": lambda known: _transposed(known.dy) @ known.inputs[1],
    "dS q": lambda known: known.dy @ known.inputs[0],
    "S k": lambda known: known.y @ known.inputs[1],
    "Sᵀ q": lambda known: _transposed(known.y) @ known.inputs[0],
    "q": lambda known: known.inputs[0],
    "k": lambda known: known.inputs[1],
}
SCORES = {
    0: Derivative(
        "S = q kᵀ: dq = dS k",
        {"dS k": 1.0},
        _OF_SCORES,
        _root,
        {"q in place of k": {"dS q": 1.0}, "the scores' derivative is transposed": {"dSᵀ k": 1.0}},
    ),
    1: Derivative(
        "S = q kᵀ: dk = dSᵀ q, with the scaled q",
        {"dSᵀ q": 1.0},
        _OF_SCORES,
        _root,
        {"k in place of q": {"dSᵀ k": 1.0}, "the scores' derivative is not transposed": {"dS q": 1.0}},
    ),
}
_OF_VALUES: dict[str, Term] = {
    "Pᵀ do": lambda known: _transposed(known.inputs[0]) @ known.dy,
    "P do": lambda known: known.inputs[0] @ known.dy,
    "do": lambda known: known.dy,
    "v": lambda known: known.inputs[1],
    "Σ do over the queries": lambda known: np.broadcast_to(known.dy.sum(-2, keepdims=True), known.dy.shape),
    "Pᵀ v": lambda known: _transposed(known.inputs[0]) @ known.inputs[1],
    "(P / max P)ᵀ do": lambda known: _transposed(_undivided(known.inputs[0])) @ known.dy,
    "(P²)ᵀ do": lambda known: _transposed(known.inputs[0] ** 2) @ known.dy,
}
_OF_PROBABILITIES: dict[str, Term] = {
    "do vᵀ": lambda known: known.dy @ _transposed(known.inputs[1]),
    "v doᵀ": lambda known: known.inputs[1] @ _transposed(known.dy),
    "do doᵀ": lambda known: known.dy @ _transposed(known.dy),
    "o vᵀ": lambda known: known.y @ _transposed(known.inputs[1]),
    "P": lambda known: known.inputs[0],
}
MIX = {
    0: Derivative("o = P v: dP = do vᵀ", {"do vᵀ": 1.0}, _OF_PROBABILITIES, _root),
    1: Derivative(
        "o = P v: dv = Pᵀ do",
        {"Pᵀ do": 1.0},
        _OF_VALUES,
        _root,
        {
            "the probabilities are not transposed": {"P do": 1.0},
            "exp(scores - maximum) in place of P, not divided by the sum over the keys": {"(P / max P)ᵀ do": 1.0},
        },
    ),
}
