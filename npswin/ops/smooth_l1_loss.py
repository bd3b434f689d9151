"""The smooth L1 loss of box deltas (Girshick 2015, equation 3), with the width of its square as an argument."""

from typing import Any

import numpy as np

from npswin.ops.arguments import number, or_none
from npswin.ops.description import op
from npswin.ops.weighted_loss import weighted_mean
from npswin.types import Array


@op(
    x="...",
    targets="...",
    weights="...",
    divisor=or_none(number(above=0, in_arrays_dtype=True)),
    beta=number(above=0, in_arrays_dtype=True),
)
def smooth_l1_loss_forward(
    x: Array, targets: Array, weights: Array | None = None, divisor: float | None = None, beta: float = 1.0
) -> tuple[Any, Any]:
    """L = (1/d) Σ w s(x − t), with s(z) = z² / 2β where |z| < β and |z| − β/2 elsewhere.

    Args:
        x: of any shape.
        targets: t of the same shape.
        weights: w of the same shape, or None for 1.
        divisor: d, or None for the number of entries, at least 1.
        beta: β, from where the loss is linear.

    Returns:
        the loss, a scalar of x's dtype, and the cache for the backward pass.

    Test: tests/ops/test_gradients.py::test_smooth_l1_loss
    """
    difference = x - targets
    sign = np.sign(difference.real)
    size = difference * sign
    is_small = size.real < beta
    losses = np.where(is_small, difference * (difference / (2 * beta)), size - beta / 2)
    loss, dlosses = weighted_mean(losses, weights, divisor)
    return loss, (np.where(is_small, difference / beta, sign), dlosses, loss.dtype)


def smooth_l1_loss_backward(dloss: Any, cache: Any) -> Array:
    """dx = (w / d) s'(x − t), with s'(z) = z / β where |z| < β and sign(z) elsewhere: the two meet at |z| = β.

    Args:
        dloss: scalar, 1 for the loss itself.

    Returns:
        dx of x's shape.
    """
    slope, dlosses, dtype = cache
    return slope * (dtype.type(dloss) * dlosses)
