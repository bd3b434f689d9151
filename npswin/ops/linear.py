"""Linear map on the last axis, y = x Wᵀ + b."""

from typing import Any

from npswin.ops.description import op
from npswin.types import Array


@op(x="... in", weight="out in", bias="out")
def linear_forward(x: Array, weight: Array, bias: Array | None = None) -> tuple[Array, Any]:
    """y = x Wᵀ + b, the same map for every row.

    Args:
        x: (..., in).
        weight: (out, in), the layout of the official checkpoints.
        bias: (out,) or None.

    Returns:
        y (..., out) and the cache for the backward pass.

    Test: tests/ops/test_gradients.py::test_linear
    """
    rows = x.reshape(-1, x.shape[-1])
    y = rows @ weight.T
    if bias is not None:
        y += bias
    return y.reshape(*x.shape[:-1], weight.shape[0]), (x, weight, bias is not None)


def linear_backward(dy: Array, cache: Any) -> tuple[Array, Array, Array | None]:
    """Derivatives of y_ro = Σ_i x_ri W_oi + b_o, with r counting the rows.

        dx_ri = Σ_o dy_ro W_oi      dW_oi = Σ_r dy_ro x_ri      db_o = Σ_r dy_ro

    Args:
        dy: (..., out).

    Returns:
        dx (..., in), dweight (out, in), dbias (out,) or None.
    """
    x, weight, has_bias = cache
    drows = dy.reshape(-1, dy.shape[-1])
    dx = (drows @ weight).reshape(x.shape)
    dweight = drows.T @ x.reshape(-1, x.shape[-1])
    dbias = drows.sum(axis=0) if has_bias else None
    return dx, dweight, dbias
