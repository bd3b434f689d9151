"""Binary cross-entropy of logits, for objectness and masks (Ren et al. 2015, equation 1; He et al. 2017, section 3)."""

from typing import Any

import numpy as np

from npswin.ops.arguments import number, or_none
from npswin.ops.description import op
from npswin.ops.weighted_loss import weighted_mean
from npswin.types import Array


@op(logits="...", targets="...", weights="...", divisor=or_none(number(above=0, in_arrays_dtype=True)))
def sigmoid_cross_entropy_forward(
    logits: Array, targets: Array, weights: Array | None = None, divisor: float | None = None
) -> tuple[Any, Any]:
    """L = (1/d) Σ w (−t log σ(x) − (1 − t) log(1 − σ(x))), with σ(x) = 1 / (1 + exp(−x)).

    Since log σ(x) = x − log(1 + eˣ) and log(1 − σ(x)) = −log(1 + eˣ), a term is log(1 + eˣ) − t x, in which
    log(1 + eˣ) = max(x, 0) + log(1 + exp(−|x|)) does not overflow.

    Args:
        logits: x, of any shape.
        targets: t of the same shape, in [0, 1].
        weights: w of the same shape, or None for 1.
        divisor: d, or None for the number of logits, at least 1.

    Returns:
        the loss, a scalar of the logits' dtype, and the cache for the backward pass.

    Test: tests/ops/test_gradients.py::test_sigmoid_cross_entropy
    """
    positive = logits.real > 0
    small = np.exp(np.where(positive, -logits, logits))  # exp(−|x|)
    losses = np.where(positive, logits, 0) + np.log1p(small) - targets * logits
    loss, dlosses = weighted_mean(losses, weights, divisor)
    sigmoid = np.where(positive, 1, small) / (1 + small)
    return loss, (sigmoid - targets, dlosses)


def sigmoid_cross_entropy_backward(dloss: Any, cache: Any) -> Array:
    """dx = (w / d) (σ(x) − t), since the derivative of log(1 + eˣ) is σ(x).

    Args:
        dloss: scalar, 1 for the loss itself.

    Returns:
        dlogits of the logits' shape.
    """
    difference, dlosses = cache
    return difference * (difference.dtype.type(dloss) * dlosses)
