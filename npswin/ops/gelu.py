"""The Gaussian error linear unit in its exact form (Hendrycks and Gimpel 2016, section 2)."""

import math
from typing import Any

import numpy as np
from scipy.special import ndtr

from npswin.ops.description import op
from npswin.types import Array


@op(x="... C")
def gelu_forward(x: Array) -> tuple[Array, Any]:
    """y = x Φ(x), with Φ(x) = (1 + erf(x/√2)) / 2 the normal distribution function.

    Args:
        x: (..., C).

    Returns:
        y of x's shape and the cache for the backward pass.

    Test: tests/ops/test_gradients.py::test_gelu
    """
    cdf = ndtr(x)
    return x * cdf, (x, cdf)


def gelu_backward(dy: Array, cache: Any) -> Array:
    """dx = dy (Φ(x) + x φ(x)), where φ(x) = Φ'(x) = exp(−x²/2) / √(2π).

    Args:
        dy: the shape of y.

    Returns:
        dx of the same shape.
    """
    x, cdf = cache
    dx = x * x
    dx *= -0.5
    np.exp(dx, out=dx)
    dx *= x
    dx *= 1 / math.sqrt(2 * math.pi)
    dx += cdf
    dx *= dy
    return dx
