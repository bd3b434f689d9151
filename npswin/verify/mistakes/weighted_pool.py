"""A pool that is another sum of the tokens, with the same weights for all channels and images."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.fits.weighted_sums import as_fractions, weights_in_words, weights_of_sum
from npswin.verify.graph import GRADIENT_PREFIX, Node, Operation, Run
from npswin.verify.mistakes.fitted_tensors import Fit
from npswin.verify.mistakes.mistake import change_node, is_output_of

SAME = 1e-4  # of derivatives that are equal, as a share of the largest


def fit_pool(run: Run, name: str, found: Array, tolerance: float) -> Iterator[Fit]:
    """The weights of the tokens for which their sum is the port's tensor.

    Args:
        run: the graph on the port's own inputs.
        name: the symptom.
        found: the port's tensor, (B, C).
        tolerance: the largest difference of equal numbers.
    """
    node = run.graph.nodes.get(name)
    if name.startswith(GRADIENT_PREFIX) or node is None or not is_output_of(node, "mean_pool"):
        return
    x = np.asarray(run.value(node.inputs[0]), np.float64)
    if x.ndim != 4 or found.shape != (x.shape[0], x.shape[3]):
        return
    tokens = x.reshape(len(x), -1, x.shape[3]).swapaxes(1, 2).reshape(found.size, -1)
    weights = weights_of_sum(found.reshape(-1), tokens, tolerance)
    if weights is None:
        weights = _weights_of_gradient(run, node, found, x, tolerance)
    if weights is not None:
        values = np.unique(np.round(weights[weights != 0], 6))
        words = weights_in_words(weights, (x.shape[1], x.shape[2]))
        fitted = 0 if len(values) == 1 else len(values)
        yield Fit(words, change_node(node, _weighted(weights)), fitted)


def _weights_of_gradient(run: Run, node: Node, found: Array, x: Array, tolerance: float) -> Array | None:
    """The weights of the tokens in the port's own backward pass, if its result is the sum with the same weights.

    The derivative by token t is w_t dy: it tells the weights where the tokens are too many for the result to do so.
    """
    of_tokens, of_result = GRADIENT_PREFIX + node.inputs[0], GRADIENT_PREFIX + node.name
    if of_tokens not in run.given or of_result not in run.given:
        return None
    dx, dy = (np.asarray(run.value(one), np.float64) for one in (of_tokens, of_result))
    if dx.shape != x.shape or dy.shape != found.shape or not dy.any():
        return None
    dx = dx.reshape(len(dx), -1, dx.shape[-1])
    weights = as_fractions(np.einsum("btc,bc->t", dx, dy) / (dy * dy).sum())
    sums = np.einsum("t,btc->bc", weights, x.reshape(dx.shape))
    same = np.abs(dx - weights[None, :, None] * dy[:, None]).max() <= SAME * np.abs(dx).max()
    reach = max(1.0, float(np.abs(weights).sum()))
    return weights if same and np.abs(sums - found).max() <= 2 * reach * tolerance else None


def _weighted(weights: Array) -> Operation:
    def forward(x: Array) -> tuple[Array, Any]:
        return np.einsum("t,btc->bc", weights.astype(x.dtype), x.reshape(len(x), -1, x.shape[-1])), x.shape

    def backward(dy: Array, shape: Any) -> tuple[Array]:
        return (np.einsum("t,bc->btc", weights.astype(dy.dtype), dy).reshape(shape),)

    return Operation("mean_pool", forward, backward)
