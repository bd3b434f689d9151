"""Norms with another mean or deviation than those of each token's channels: which ones."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from npswin.ops.layer_norm import layer_norm_backward
from npswin.types import Array
from npswin.verify.fits.norm_rows import NormedTokens, Statistics, mean_of, norm_explanations, variance_of
from npswin.verify.fits.tables import Function
from npswin.verify.graph import Operation, Run
from npswin.verify.mistakes.fitted_tensors import Fit
from npswin.verify.mistakes.mistake import change_node, is_output_of

STEP = 1e-6
SMALLEST_GAIN = 1e-3  # over the largest one: what a channel's smaller gain hides is not looked at


def fit_norm(run: Run, name: str, found: Array, tolerance: float) -> Iterator[Fit]:
    """Explanations of a norm's result by the mean and the factor of each token."""
    node = run.graph.nodes.get(name)
    if node is None or not is_output_of(node, "layer_norm") or len(node.inputs) != 3:
        return
    x, weight, bias = (np.asarray(run.value(read), np.float64) for read in node.inputs)
    if x.shape != found.shape or np.abs(weight).min() < SMALLEST_GAIN * np.abs(weight).max():
        return
    rows = ((found - bias) / weight).reshape(-1, len(weight)), x.reshape(-1, len(weight))
    for one in norm_explanations(NormedTokens(*rows, node.settings["eps"], tolerance / np.abs(weight))):
        yield Fit(one.words, change_node(node, _operation(one.statistics, one.by_channels)), one.fitted)
        for words, slope in one.slopes.items():
            yield Fit(f"{one.words}; {words}", change_node(node, _with_slope(one.statistics, slope)), one.fitted)


def _operation(statistics: Statistics, by_channels: bool) -> Operation:
    """A norm with these statistics. Where they sum other channels, the derivative by the tokens is by differences."""

    def normalized(x: Array, eps: float) -> tuple[Array, Array]:
        rows = x.reshape(-1, x.shape[-1]).astype(np.float64)
        mean, factor = statistics(rows, eps)
        return ((rows - mean) * factor).reshape(x.shape), factor.reshape(*x.shape[:-1], 1)

    def forward(x: Array, weight: Array, bias: Array, eps: float) -> tuple[Array, Any]:
        xhat, factor = normalized(x, eps)
        return (xhat * weight + bias).astype(x.dtype), (x, xhat, factor, weight, eps)

    def backward(dy: Array, cache: Any) -> tuple[Array, Array, Array]:
        x, xhat, factor, weight, eps = cache
        dx, dweight, dbias = layer_norm_backward(dy, (xhat, factor, weight))
        if by_channels:
            dx = _differences(lambda z: normalized(z, eps)[0], dy * weight, x)
        return dx.astype(dy.dtype), dweight.astype(dy.dtype), dbias.astype(dy.dtype)

    return Operation("layer_norm", forward, backward)


def _with_slope(statistics: Statistics, slope: Function) -> Operation:
    """A norm whose factor r has another derivative r' by the variance v.

    With x̂ = (x - μ) r, g = dy · weight, and v = ⟨(x - μ)²⟩ + eps, the derivative of Σ g x̂ by x is
    r (g - ⟨g⟩) + 2 r' ⟨g (x - μ)⟩ (x - μ), with means over the channels.
    """
    given = _operation(statistics, False)

    def forward(x: Array, weight: Array, bias: Array, eps: float) -> tuple[Array, Any]:
        y, (_, xhat, factor, *_) = given.forward(x, weight, bias, eps=eps)
        return y, (x.astype(np.float64), xhat, factor, weight, eps)

    def backward(dy: Array, cache: Any) -> tuple[Array, Array, Array]:
        x, xhat, factor, weight, eps = cache
        centred, g = x - mean_of(x), dy * weight
        dr = slope(variance_of(x) + eps) * mean_of(g * centred)
        dx = factor * (g - mean_of(g)) + 2 * dr * centred
        parameters = ((dy * xhat).reshape(-1, x.shape[-1]).sum(0), dy.reshape(-1, x.shape[-1]).sum(0))
        return dx.astype(dy.dtype), parameters[0].astype(dy.dtype), parameters[1].astype(dy.dtype)

    return Operation("layer_norm", forward, backward)


def _differences(function: Callable[[Array], Array], g: Array, x: Array) -> Array:
    """The derivative Σ g ∂y/∂x of a function of each token, by differences."""
    wide, dx = x.astype(np.float64), np.zeros_like(g)
    for channel in range(x.shape[-1]):
        step = np.zeros(x.shape[-1])
        step[channel] = STEP
        dx[..., channel] = (g * (function(wide + step) - function(wide - step))).sum(-1) / (2 * STEP)
    return dx
