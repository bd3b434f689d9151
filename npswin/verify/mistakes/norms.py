"""Mistakes in layer normalization and in the activation between the two layers of an MLP."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from npswin.ops import layer_norm_backward, layer_norm_forward
from npswin.types import Array
from npswin.verify.graph import Graph, Node, Operation
from npswin.verify.mistakes.mistake import (
    Changes,
    Mistake,
    before,
    elementwise,
    gather,
    made_by,
    otherwise,
    replacing,
    times,
    zeros,
)

OTHER_EPS = (1e-6, 1e-3, 1e-12, 1e-8, 1e-4, 1e-7, 0.0)


def _other_eps(_: Graph, node: Node) -> Iterator[tuple[str, Changes]]:
    for eps in OTHER_EPS:
        yield f"eps = {eps:g}", otherwise(node, settings={"eps": eps})


def _unbiased(graph: Graph, node: Node) -> Iterator[tuple[str, Changes]]:
    """With C - 1 for C in the variance, (x - μ) / √(σ² C/(C - 1) + eps) is a norm of a smaller eps and gain:
    √((C - 1)/C) (x - μ) / √(σ² + eps (C - 1)/C)."""
    operation = node.operation
    assert operation is not None

    def forward(x: Array, weight: Array, bias: Array, eps: float) -> tuple[Array, Any]:
        share = (x.shape[-1] - 1) / x.shape[-1]
        smaller = before(operation, 1, times(math.sqrt(share)))
        y, cache = smaller.forward(x, weight, bias, eps=eps * share)
        return y, (smaller, cache)

    def backward(dy: Array, cache: Any) -> tuple[Array | None, ...]:
        smaller, inner = cache
        return smaller.backward(dy, inner)

    yield "", otherwise(node, replace(operation, forward=forward, backward=backward))


def _over(*axes: int) -> Any:
    """A layer norm whose statistics run over these axes instead of the channels; gain and bias stay the channels'."""

    def forward(x: Array, weight: Array, bias: Array, eps: float) -> tuple[Array, Any]:
        last = np.moveaxis(x, axes, range(-len(axes), 0))
        rows = last.reshape(*last.shape[: -len(axes)], -1)
        plain, cache = layer_norm_forward(
            rows, np.ones(rows.shape[-1], x.dtype), np.zeros(rows.shape[-1], x.dtype), eps
        )
        xhat = np.moveaxis(plain.reshape(last.shape), range(-len(axes), 0), axes)
        return xhat * weight + bias, (xhat, weight, cache, last.shape)

    def backward(dy: Array, caches: Any) -> tuple[Array, Array, Array]:
        xhat, weight, cache, shape = caches
        dlast = np.moveaxis(dy * weight, axes, range(-len(axes), 0))
        drows = layer_norm_backward(dlast.reshape(*dlast.shape[: -len(axes)], -1), cache)[0]
        dx = np.moveaxis(drows.reshape(shape), range(-len(axes), 0), axes)
        return dx, *_of_gain_and_bias(dy, xhat)

    return lambda _: Operation("layer_norm", forward, backward)


def _over_tokens(_: Graph, node: Node) -> Iterator[tuple[str, Changes]]:
    if node.axes.startswith("B, H"):
        yield "over the places of the map, for each channel", otherwise(node, _over(1, 2)(None))
        yield "over places and channels together", otherwise(node, _over(1, 2, 3)(None))
    yield "over the batch", otherwise(node, _over(0)(None))


def _outside_the_root() -> Operation:
    """(x - μ)/(σ + eps): with D = σ + eps, g = dy · weight and means over C, the derivative by x is
    (g - mean g)/D - (x - μ) mean(g (x - μ))/(σ D²)."""

    def forward(x: Array, weight: Array, bias: Array, eps: float) -> tuple[Array, Any]:
        centred = x - x.mean(-1, keepdims=True)
        sigma = np.sqrt((centred * centred).mean(-1, keepdims=True))
        return centred / (sigma + eps) * weight + bias, (centred, sigma, sigma + eps, weight)

    def backward(dy: Array, cache: Any) -> tuple[Array, Array, Array]:
        centred, sigma, divisor, weight = cache
        g = dy * weight
        slope = (g * centred).mean(-1, keepdims=True) / (sigma * divisor**2)
        dx = (g - g.mean(-1, keepdims=True)) / divisor - centred * slope
        return dx, *_of_gain_and_bias(dy, centred / divisor)

    return Operation("layer_norm", forward, backward)


def _of_squares() -> Operation:
    """x/r with r = √(mean x² + eps): the derivative by x is g/r - x mean(g x)/r³."""

    def forward(x: Array, weight: Array, bias: Array, eps: float) -> tuple[Array, Any]:
        root = np.sqrt((x * x).mean(-1, keepdims=True) + eps)
        return x / root * weight + bias, (x, root, weight)

    def backward(dy: Array, cache: Any) -> tuple[Array, Array, Array]:
        x, root, weight = cache
        g = dy * weight
        return g / root - x * (g * x).mean(-1, keepdims=True) / root**3, *_of_gain_and_bias(dy, x / root)

    return Operation("layer_norm", forward, backward)


def _of_gain_and_bias(dy: Array, xhat: Array) -> tuple[Array, Array]:
    channels = dy.shape[-1]
    return (dy * xhat).reshape(-1, channels).sum(0), dy.reshape(-1, channels).sum(0)


def _ones(weight: Array) -> tuple[Array, Any]:
    return np.ones_like(weight), None


def _tanh_gelu(x: Array) -> Array:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def _rough_gelu(x: Array) -> Array:
    """With erf by the rational approximation 7.1.26 of Abramowitz and Stegun, whose error is 1.5e-7."""
    sign = np.sign(x.real)
    z = sign * x / math.sqrt(2)
    t = 1 / (1 + 0.3275911 * z)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    return 0.5 * x * (1 + sign * (1 - series * np.exp(-z * z)))


NORMS = (
    Mistake(
        "norm-eps",
        "layer normalization has another eps",
        "eps is 1e-5 in every norm",
        made_by("layer_norm", _other_eps),
    ),
    Mistake(
        "norm-unbiased",
        "layer normalization divides the variance by C - 1",
        "the variance is the biased one: divide by C",
        made_by("layer_norm", _unbiased),
    ),
    Mistake(
        "norm-over-tokens",
        "layer normalization takes its statistics over the wrong axis",
        "mean and variance are those of each token's channels",
        made_by("layer_norm", _over_tokens),
    ),
    Mistake(
        "norm-eps-outside",
        "layer normalization adds eps outside the root",
        "divide by sqrt(variance + eps)",
        replacing("layer_norm", {"": lambda _: _outside_the_root()}),
    ),
    Mistake(
        "norm-of-squares",
        "the mean is not subtracted: it is an RMS norm",
        "layer normalization subtracts the mean, and divides by the deviation from it",
        replacing("layer_norm", {"": lambda _: _of_squares()}),
    ),
    Mistake(
        "norm-gain-missing",
        "layer normalization does not multiply by its weight",
        "y = normalized · weight + bias",
        replacing("layer_norm", {"": lambda op: before(op, 1, (_ones, lambda dy, _: np.zeros_like(dy)))}),
    ),
    Mistake(
        "norm-bias-missing",
        "layer normalization does not add its bias",
        "y = normalized · weight + bias",
        replacing("layer_norm", {"": lambda op: before(op, 2, gather(zeros))}),
    ),
    Mistake(
        "gelu-tanh",
        "GELU is its tanh approximation",
        "GELU is the exact one: x (1 + erf(x/√2)) / 2",
        replacing("gelu", {"": lambda _: elementwise("gelu", _tanh_gelu)}),
    ),
    Mistake(
        "gelu-sigmoid",
        "GELU is its sigmoid approximation x σ(1.702 x)",
        "GELU is the exact one: x (1 + erf(x/√2)) / 2",
        replacing("gelu", {"": lambda _: elementwise("gelu", lambda x: x / (1 + np.exp(-1.702 * x)))}),
    ),
    Mistake(
        "gelu-erf",
        "GELU's erf is an approximation",
        "erf to the last digits: C99 and later has it in math.h",
        replacing(
            "gelu", {"Abramowitz and Stegun 7.1.26, right to 1.5e-7": lambda _: elementwise("gelu", _rough_gelu)}
        ),
    ),
    Mistake(
        "gelu-other",
        "the MLP has another activation",
        "the activation is GELU: x (1 + erf(x/√2)) / 2",
        replacing(
            "gelu",
            {
                "ReLU": lambda _: elementwise("gelu", lambda x: x * (x.real > 0)),
                "SiLU": lambda _: elementwise("gelu", lambda x: x / (1 + np.exp(-x))),
                "none": lambda _: elementwise("gelu", lambda x: x * 1),
            },
        ),
    ),
)
