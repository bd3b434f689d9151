"""Mistakes in layer normalization and in the activation between the two layers of an MLP."""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from npswin.ops.layer_norm import layer_norm_backward, layer_norm_forward
from npswin.types import Array
from npswin.verify.fits.functions import tanh_gelu
from npswin.verify.graph import Graph, Node, Operation
from npswin.verify.mistakes.mistake import (
    Mistake,
    Variants,
    at_outputs_of,
    change_node,
    elementwise,
    gather,
    multiply_by,
    transform_input,
    with_variants,
    zeros,
)

OTHER_EPS = (1e-6, 1e-3, 1e-12, 1e-8, 1e-4, 1e-7, 0.0)


def _other_eps(_: Graph, node: Node) -> Variants:
    for eps in OTHER_EPS:
        yield f"eps = {eps:g}", change_node(node, settings={"eps": eps})


def _unbiased(graph: Graph, node: Node) -> Variants:
    """The variance is divided by C - 1 instead of C.

    (x - μ) / √(σ² C/(C - 1) + eps) is a norm of a smaller eps and gain: √((C - 1)/C) (x - μ) / √(σ² + eps (C - 1)/C).
    """
    operation = node.operation
    assert operation is not None

    def forward(x: Array, weight: Array, bias: Array, eps: float) -> tuple[Array, Any]:
        share = (x.shape[-1] - 1) / x.shape[-1]
        smaller = transform_input(operation, 1, multiply_by(math.sqrt(share)))
        y, cache = smaller.forward(x, weight, bias, eps=eps * share)
        return y, (smaller, cache)

    def backward(dy: Array, cache: Any) -> tuple[Array | None, ...]:
        smaller, inner = cache
        return smaller.backward(dy, inner)

    yield "", change_node(node, replace(operation, forward=forward, backward=backward))


def _statistics_over(*axes: int) -> Any:
    """A layer norm with mean and variance over these axes instead of the channels; gain and bias are per channel."""

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
        return dx, *_gain_and_bias_gradients(dy, xhat)

    return lambda _: Operation("layer_norm", forward, backward)


def _over_tokens(_: Graph, node: Node) -> Variants:
    if node.axes.startswith("B, H"):
        yield "over the positions of the map, for each channel", change_node(node, _statistics_over(1, 2)(None))
        yield "over positions and channels together", change_node(node, _statistics_over(1, 2, 3)(None))
    yield "over the batch", change_node(node, _statistics_over(0)(None))


def _eps_outside_root() -> Operation:
    """The norm (x - μ)/(σ + eps).

    With D = σ + eps, g = dy · weight and means over C, the derivative by x is
    (g - mean g)/D - (x - μ) mean(g (x - μ))/(σ D²).
    """

    def forward(x: Array, weight: Array, bias: Array, eps: float) -> tuple[Array, Any]:
        centred = x - x.mean(-1, keepdims=True)
        sigma = np.sqrt((centred * centred).mean(-1, keepdims=True))
        return centred / (sigma + eps) * weight + bias, (centred, sigma, sigma + eps, weight)

    def backward(dy: Array, cache: Any) -> tuple[Array, Array, Array]:
        centred, sigma, divisor, weight = cache
        g = dy * weight
        slope = (g * centred).mean(-1, keepdims=True) / (sigma * divisor**2)
        dx = (g - g.mean(-1, keepdims=True)) / divisor - centred * slope
        return dx, *_gain_and_bias_gradients(dy, centred / divisor)

    return Operation("layer_norm", forward, backward)


def _rms_norm() -> Operation:
    """The norm x/r with r = √(mean x² + eps); its derivative by x is g/r - x mean(g x)/r³."""

    def forward(x: Array, weight: Array, bias: Array, eps: float) -> tuple[Array, Any]:
        root = np.sqrt((x * x).mean(-1, keepdims=True) + eps)
        return x / root * weight + bias, (x, root, weight)

    def backward(dy: Array, cache: Any) -> tuple[Array, Array, Array]:
        x, root, weight = cache
        g = dy * weight
        return g / root - x * (g * x).mean(-1, keepdims=True) / root**3, *_gain_and_bias_gradients(dy, x / root)

    return Operation("layer_norm", forward, backward)


def _gain_and_bias_gradients(dy: Array, xhat: Array) -> tuple[Array, Array]:
    channels = dy.shape[-1]
    return (dy * xhat).reshape(-1, channels).sum(0), dy.reshape(-1, channels).sum(0)


def _ones(weight: Array) -> tuple[Array, Any]:
    return np.ones_like(weight), None


def _gelu_with_approximate_erf(x: Array) -> Array:
    """GELU with the approximation 7.1.26 of erf by Abramowitz and Stegun, with an error of up to 1.5e-7."""
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
        at_outputs_of("layer_norm", _other_eps),
    ),
    Mistake(
        "norm-unbiased",
        "layer normalization divides the variance by C - 1",
        "the variance is the biased one: divide by C",
        at_outputs_of("layer_norm", _unbiased),
    ),
    Mistake(
        "norm-over-tokens",
        "layer normalization takes its statistics over the wrong axis",
        "mean and variance are those of each token's channels",
        at_outputs_of("layer_norm", _over_tokens),
    ),
    Mistake(
        "norm-eps-outside",
        "layer normalization adds eps outside the root",
        "divide by sqrt(variance + eps)",
        with_variants("layer_norm", {"": lambda _: _eps_outside_root()}),
    ),
    Mistake(
        "norm-of-squares",
        "the mean is not subtracted: it is an RMS norm",
        "layer normalization subtracts the mean, and divides by the deviation from it",
        with_variants("layer_norm", {"": lambda _: _rms_norm()}),
    ),
    Mistake(
        "norm-gain-missing",
        "layer normalization does not multiply by its weight",
        "y = normalized · weight + bias",
        with_variants("layer_norm", {"": lambda op: transform_input(op, 1, (_ones, lambda dy, _: np.zeros_like(dy)))}),
    ),
    Mistake(
        "norm-bias-missing",
        "layer normalization does not add its bias",
        "y = normalized · weight + bias",
        with_variants("layer_norm", {"": lambda op: transform_input(op, 2, gather(zeros))}),
    ),
    Mistake(
        "gelu-tanh",
        "GELU is its tanh approximation",
        "GELU is the exact one: x (1 + erf(x/√2)) / 2",
        with_variants("gelu", {"": lambda _: elementwise("gelu", tanh_gelu)}),
    ),
    Mistake(
        "gelu-sigmoid",
        "GELU is its sigmoid approximation x σ(1.702 x)",
        "GELU is the exact one: x (1 + erf(x/√2)) / 2",
        with_variants("gelu", {"": lambda _: elementwise("gelu", lambda x: x / (1 + np.exp(-1.702 * x)))}),
    ),
    Mistake(
        "gelu-erf",
        "GELU's erf is an approximation",
        "erf to the last digits: C99 and later has it in math.h",
        with_variants(
            "gelu",
            {
                "Abramowitz and Stegun 7.1.26, right to 1.5e-7": lambda _: elementwise(
                    "gelu", _gelu_with_approximate_erf
                )
            },
        ),
    ),
    Mistake(
        "gelu-other",
        "the MLP has another activation",
        "the activation is GELU: x (1 + erf(x/√2)) / 2",
        with_variants(
            "gelu",
            {
                "ReLU": lambda _: elementwise("gelu", lambda x: x * (x.real > 0)),
                "SiLU": lambda _: elementwise("gelu", lambda x: x / (1 + np.exp(-x))),
                "none": lambda _: elementwise("gelu", lambda x: x * 1),
            },
        ),
    ),
)
