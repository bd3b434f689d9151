"""`linear`; `fused/gathered_linear.py` holds the kernels."""

from typing import Any

import numpy as np

from npswin.backends.cpu.fused.gathered_linear import GatheredLinearCall
from npswin.types import Array

_ONE_PIECE = np.zeros((1, 1), np.int64)


def _forward(x: Array, weight: Array, bias: Array | None, for_backward: bool) -> tuple[Array, Any]:
    call = GatheredLinearCall(x, x.size // x.shape[-1], _ONE_PIECE, weight, bias)
    return call.forward(for_backward).reshape(*x.shape[:-1], len(weight)), call


def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """The y of `npswin.ops.linear_forward`, with nothing saved."""
    return _forward(x, weight, bias, for_backward=False)[0]


def linear_forward(x: Array, weight: Array, bias: Array | None = None) -> tuple[Array, Any]:
    """See `npswin.ops.linear_forward`."""
    return _forward(x, weight, bias, for_backward=True)


def linear_backward(dy: Array, cache: Any) -> tuple[Array, Array, Array | None]:
    """See `npswin.ops.linear_backward`."""
    dx, dweight, dbias, *_ = cache.backward(dy)
    return dx, dweight, dbias
