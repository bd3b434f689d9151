"""Norms with another mean or deviation than those of each token's channels: which ones."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.fits.norm_rows import NormedTokens, Statistics, norm_explanations
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
        yield Fit(one.words, change_node(node, _operation(one.statistics)), one.fitted)


def _operation(statistics: Statistics) -> Operation:
    """A norm with these statistics. Its derivative by the tokens is that of each token, by differences."""

    def normalized(x: Array, eps: float) -> Array:
        rows = x.reshape(-1, x.shape[-1]).astype(np.float64)
        mean, factor = statistics(rows, eps)
        return ((rows - mean) * factor).reshape(x.shape)

    def forward(x: Array, weight: Array, bias: Array, eps: float) -> tuple[Array, Any]:
        y = normalized(x, eps)
        return (y * weight + bias).astype(x.dtype), (x, y, weight, eps)

    def backward(dy: Array, cache: Any) -> tuple[Array, Array, Array]:
        x, y, weight, eps = cache
        g, dx, wide = dy * weight, np.zeros_like(dy), x.astype(np.float64)
        for channel in range(x.shape[-1]):
            step = np.zeros(x.shape[-1])
            step[channel] = STEP
            slope = (normalized(wide + step, eps) - normalized(wide - step, eps)) / (2 * STEP)
            dx[..., channel] = (g * slope).sum(-1)
        rows = dy.reshape(-1, dy.shape[-1])
        return dx, (rows * y.reshape(rows.shape)).sum(0), rows.sum(0)

    return Operation("layer_norm", forward, backward)
