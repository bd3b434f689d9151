"""Softmax over the last axis."""

from typing import Any

import numpy as np

from npswin.ops.description import op
from npswin.types import Array


@op(x="... K")
def softmax_forward(x: Array) -> tuple[Array, Any]:
    """p_j = exp(x_j) / Σ_k exp(x_k).

    The row's maximum is subtracted first: p does not change by a shift, and nothing overflows.
    For complex x (complex-step checks) the maximum is the real part's.

    Args:
        x: (..., K); −∞ is allowed, though not in a whole row.

    Returns:
        p (..., K) and the cache for the backward pass.

    Test: tests/ops/test_gradients.py::test_softmax
    """
    p = np.exp(x - x.real.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    return p, p


def softmax_backward(dp: Array, cache: Any) -> Array:
    """dx_i = p_i (dp_i − Σ_j p_j dp_j), from the Jacobian ∂p_j/∂x_i = p_j (δ_ij − p_i).

    Args:
        dp: (..., K).

    Returns:
        dx (..., K).
    """
    p = cache
    return p * (dp - np.einsum("...k,...k->...", p, dp)[..., None])
