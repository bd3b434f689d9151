"""The rectified linear unit (Nair, Hinton 2010)."""

from typing import Any

import numpy as np

from npswin.ops.description import op
from npswin.types import Array


@op(x="... C")
def relu_forward(x: Array) -> tuple[Array, Any]:
    """y = max(x, 0).

    Args:
        x: (..., C).

    Returns:
        y of x's shape and the cache for the backward pass. NaN stays NaN.

    Test: tests/ops/test_gradients.py::test_relu
    """
    y = np.where(x.real <= 0, x.dtype.type(0), x)
    return y, y


def relu_backward(dy: Array, cache: Any) -> Array:
    """dx = dy where x > 0, which is where y > 0, and 0 elsewhere; at the kink x = 0, too, as PyTorch has it.

    Args:
        dy: the shape of y.

    Returns:
        dx of the same shape.
    """
    y = cache
    return np.where(y.real <= 0, dy.dtype.type(0), dy)
