"""Other normalizations in place of layer normalization."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.fits.rows import after_row
from npswin.verify.graph import Graph, Node, Operation
from npswin.verify.mistakes.mistake import Mistake, Variants, at_outputs_of, change_node

AXES = {
    "over images and positions, for each channel, as batch normalization": (0, 1, 2),
    "over the rows of the map": (1,),
    "over the columns of the map": (2,),
    "over channels and rows": (1, 3),
    "over channels and columns": (2, 3),
    "over channels and images": (0, 3),
    "over everything": (0, 1, 2, 3),
}
GROUPS = (2, 3, 4, 8, 16, 32)


def _grouped(groups: int) -> Callable[[Array], Array]:
    def function(x: Array) -> Array:
        parts = x.reshape(*x.shape[:-1], groups, -1)
        centred = parts - parts.mean(-1, keepdims=True)
        return (centred / np.sqrt((centred * centred).mean(-1, keepdims=True) + 1e-5)).reshape(x.shape)

    return function


def _centred(x: Array) -> Array:
    return x - x.mean(-1, keepdims=True)


def _variance(x: Array) -> Array:
    return (_centred(x) ** 2).mean(-1, keepdims=True)


def _unbiased(x: Array) -> Array:
    """The deviation with C - 1 in place of C."""
    return np.sqrt(_variance(x) * (x.shape[-1] / max(1, x.shape[-1] - 1)) + 1e-30)


def _mean_absolute(x: Array) -> Array:
    return np.where(x.real < 0, -x, x).mean(-1, keepdims=True) + 1e-5


ROWS: dict[str, Callable[[Array], Array]] = {
    "nothing is normalized, only weight and bias are applied": lambda x: x * 1,
    "the mean is subtracted, and it is not divided by the deviation": _centred,
    "it is divided by the variance": lambda x: _centred(x) / (_variance(x) + 1e-5),
    "it is divided by the deviation, and the mean is not subtracted": lambda x: x / np.sqrt(_variance(x) + 1e-5),
    "each token is divided by its length": lambda x: x / np.sqrt((x * x).sum(-1, keepdims=True) + 1e-12),
    "it is divided by the deviation, with C - 1 in it, plus 1e-6": lambda x: _centred(x) / (_unbiased(x) + 1e-6),
    "it is divided by the deviation, with C - 1 in it, plus 1e-5": lambda x: _centred(x) / (_unbiased(x) + 1e-5),
    "it is normalized twice": lambda x: _grouped(1)(_grouped(1)(x)),
    "it is divided by the mean absolute deviation": lambda x: _centred(x) / _mean_absolute(_centred(x)),
    "it is multiplied by the deviation": lambda x: _centred(x) * np.sqrt(_variance(x) + 1e-5),
}


def _other(_: Graph, node: Node) -> Variants:
    for words, function in ROWS.items():
        yield words, change_node(node, normalizing(function))
    for groups in GROUPS:
        yield f"in {groups} groups of channels", change_node(node, normalizing(_grouped(groups)))


def normalizing(function: Callable[[Array], Array]) -> Operation:
    """function(x) · weight + bias, for a function of each token's channels."""
    plain_forward, plain_backward = after_row(function)

    def forward(x: Array, weight: Array, bias: Array, eps: float) -> tuple[Array, Any]:
        xhat, cache = plain_forward(x)
        return xhat * weight + bias, (xhat, weight, cache)

    def backward(dy: Array, caches: Any) -> tuple[Array, Array, Array]:
        xhat, weight, cache = caches
        channels = dy.shape[-1]
        gain = (dy * xhat).reshape(-1, channels).sum(0)
        return plain_backward(dy * weight, cache), gain, dy.reshape(-1, channels).sum(0)

    return Operation("layer_norm", forward, backward)


def _over_axes(_: Graph, node: Node) -> Variants:
    """Statistics over other axes than the channels."""
    if not node.axes.startswith("B, H"):
        return
    for words, axes in AXES.items():
        yield words, change_node(node, _with_statistics_over(axes))


def _with_statistics_over(axes: tuple[int, ...]) -> Operation:
    """(x - μ)/√(σ² + eps) · weight + bias, with μ and σ over some axes.

    With g = dy · weight and means ⟨·⟩ over these axes, dx = (g - ⟨g⟩ - x̂ ⟨g x̂⟩)/√(σ² + eps).
    """

    def forward(x: Array, weight: Array, bias: Array, eps: float) -> tuple[Array, Any]:
        centred = x - x.mean(axes, keepdims=True)
        rstd = 1 / np.sqrt((centred * centred).mean(axes, keepdims=True) + eps)
        xhat = centred * rstd
        return xhat * weight + bias, (xhat, rstd, weight)

    def backward(dy: Array, cache: Any) -> tuple[Array, Array, Array]:
        xhat, rstd, weight = cache
        g, channels = dy * weight, dy.shape[-1]
        dx = (g - g.mean(axes, keepdims=True) - xhat * (g * xhat).mean(axes, keepdims=True)) * rstd
        return dx, (dy * xhat).reshape(-1, channels).sum(0), dy.reshape(-1, channels).sum(0)

    return Operation("layer_norm", forward, backward)


def _gain_plus_one(_: Graph, node: Node) -> Variants:
    assert node.operation is not None
    operation = node.operation

    def forward(x: Array, weight: Array, bias: Array, eps: float) -> tuple[Array, Any]:
        return operation.forward(x, 1 + weight, bias, eps=eps)

    yield "its weight is added to 1", change_node(node, replace(operation, forward=forward))


NORMS = (
    Mistake(
        "norm-function",
        "layer normalization is another function",
        "y = (x - mean) / sqrt(variance + eps) · weight + bias, of each token's channels",
        at_outputs_of("layer_norm", _other),
    ),
    Mistake(
        "norm-axes",
        "layer normalization takes its statistics over other axes",
        "mean and variance are those of each token's channels",
        at_outputs_of("layer_norm", _over_axes),
    ),
    Mistake(
        "norm-gain-plus-one",
        "layer normalization uses another gain",
        "y = normalized · weight + bias",
        at_outputs_of("layer_norm", _gain_plus_one),
    ),
)
