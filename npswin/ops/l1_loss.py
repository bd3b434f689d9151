"""The mean absolute error, as a loss of box deltas."""

from typing import Any

import numpy as np

from npswin.ops.arguments import number, or_none
from npswin.ops.description import op
from npswin.ops.weighted_loss import weighted_mean
from npswin.types import Array


@op(x="...", targets="...", weights="...", divisor=or_none(number(above=0, in_arrays_dtype=True)))
def l1_loss_forward(
    x: Array, targets: Array, weights: Array | None = None, divisor: float | None = None
) -> tuple[Any, Any]:
    """L = (1/d) Σ w |x − t|.

    For complex x (complex-step checks) |z| is z times the sign of its real part, which has the same derivative.

    Args:
        x: of any shape.
        targets: t of the same shape.
        weights: w of the same shape, or None for 1.
        divisor: d, or None for the number of entries, at least 1.

    Returns:
        the loss, a scalar of x's dtype, and the cache for the backward pass.

    Test: tests/ops/test_gradients.py::test_l1_loss
    """
    difference = x - targets
    sign = np.sign(difference.real)
    loss, dlosses = weighted_mean(difference * sign, weights, divisor)
    return loss, (sign, dlosses, loss.dtype)


def l1_loss_backward(dloss: Any, cache: Any) -> Array:
    """dx = (w / d) sign(x − t); at x = t, where any slope from −1 to 1 is a subgradient, 0.

    Args:
        dloss: scalar, 1 for the loss itself.

    Returns:
        dx of x's shape.
    """
    sign, dlosses, dtype = cache
    return sign * (dtype.type(dloss) * dlosses)
