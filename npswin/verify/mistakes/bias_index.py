"""Biases of which each number is added at other places: bias[i] with an i that depends on the token.

A kernel that counts over a flat array, or over rows where it should count over channels, adds b[(α t + β c + γ) mod C]
to channel c of token t. Without the bias the operation is right, so that what is left are the bias' own numbers, which
tell the index of each.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.graph import Operation, Run
from npswin.verify.mistakes.fitted_tensors import Fit
from npswin.verify.mistakes.mistake import change_node, is_output_of

FEWEST_TOKENS = 2


def fit_bias_index(run: Run, name: str, found: Array, tolerance: float) -> Iterator[Fit]:
    """Explanations of a linear layer's or a norm's output by another index into its bias."""
    node = run.graph.nodes.get(name)
    if node is None or not is_output_of(node, "linear", "layer_norm") or len(node.inputs) < 3:
        return
    right = run.compute(name)
    if found.shape != right.shape or not np.isfinite(found).all():
        return
    assert node.operation is not None
    bias = np.asarray(run.value(node.inputs[2]), np.float64)
    index = _index(found - (right - bias), bias, 2 * tolerance)
    if index is None or (index == np.arange(len(bias))).all():
        return
    words = _words(index, found.shape)
    if words:
        operation = _with_index(node.operation, index.reshape(found.shape))
        yield Fit(f"{node.inputs[2]} is added otherwise: {words}", change_node(node, operation), 0)


def _index(added: Array, bias: Array, tolerance: float) -> Array | None:
    """(tokens, C), which number of the bias each number is; None if one is none, or could be two."""
    order = np.argsort(bias)
    values = bias[order]
    if len(bias) < 2 or np.diff(values).min() <= 2 * tolerance or added.size < FEWEST_TOKENS * len(bias):
        return None
    nearest = np.searchsorted((values[1:] + values[:-1]) / 2, added)
    if np.abs(values[nearest] - added).max() > tolerance:
        return None
    return np.asarray(order[nearest].reshape(-1, len(bias)))


def _words(index: Array, shape: tuple[int, ...]) -> str:
    """The rule of an index (tokens, C), with tokens counted through the batch, an image or a row; or ""."""
    tokens, channels = index.shape
    counts = {"counted through the batch": tokens}
    if len(shape) == 4:
        counts |= {"counted through an image": shape[1] * shape[2], "counted through a row": shape[2]}
    for counted, count in counts.items():
        token, channel = np.arange(tokens)[:, None] % count, np.arange(channels)
        first = int(index[0, 0])
        by_token = int(index[1 % count, 0] - first) % channels
        by_channel = int(index[0, 1] - first) % channels
        if np.array_equal(index, (by_token * token + by_channel * channel + first) % channels):
            terms = [
                f"{factor if factor > 1 else ''}{of}" for factor, of in ((by_token, "t"), (by_channel, "c")) if factor
            ]
            sum_of = " + ".join([*terms, *([str(first)] if first or not terms else [])])
            where = "channel c" if by_channel else "all channels"
            number = (
                f"({sum_of}) mod {channels}"
                if len(terms) + bool(first) > 1 or by_token > 1
                else f"{sum_of} mod {channels}"
            )
            return f"number {number} to {where} of token t, {counted}"
    return ""


def _with_index(operation: Operation, index: Array) -> Operation:
    """The operation with bias[index] in place of bias."""

    def forward(x: Array, weight: Array, bias: Array, **settings: Any) -> tuple[Array, Any]:
        y, cache = operation.forward(x, weight, np.zeros_like(bias), **settings)
        return y + bias[index], (cache, len(bias))

    def backward(dy: Array, caches: Any) -> tuple[Array | None, ...]:
        cache, size = caches
        dx, dweight, _ = operation.backward(dy, cache)
        dbias = np.bincount(index.reshape(-1), dy.reshape(-1).astype(np.float64), size).astype(dy.dtype)
        return dx, dweight, dbias

    return replace(operation, forward=forward, backward=backward)
