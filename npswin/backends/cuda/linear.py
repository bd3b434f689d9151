"""`linear`: cuBLAS' matrix products, and the bias and residual that follow them."""

from typing import Any

from npswin.backends.cuda.runtime.launch import blocks, launch, sum_over_rows
from npswin.backends.cuda.runtime.matrix_product import product
from npswin.devices import cupy


def matrix_product(x: Any, weight: Any) -> Any:
    """x Wᵀ without a bias, (..., outputs) in x's dtype."""
    rows = x.reshape(-1, x.shape[-1])
    return product(rows, weight.astype(x.dtype, copy=False), x.dtype, transpose_right=True).reshape(*x.shape[:-1], -1)


def matrix_product_backward(dy: Any, x: Any, weight: Any) -> tuple[Any, Any]:
    """dx in x's dtype and dweight in the weight's, of `matrix_product`."""
    rows = dy.reshape(-1, dy.shape[-1])
    dx = product(rows, weight.astype(dy.dtype, copy=False), dy.dtype).reshape(x.shape)
    return dx, product(rows, x.reshape(-1, x.shape[-1]), weight.dtype, transpose_left=True)


def add_bias(y: Any, bias: Any, shortcut: Any = None, scale: Any = None) -> Any:
    """shortcut + s · (y + bias) in place, with one s an image."""
    per_image = y.size // max(1, len(y))
    args = shortcut, y, bias, scale, y, y.size, y.shape[-1], per_image
    launch("elementwise", "residual_forward", y.dtype, blocks(y.size), args)
    return y


def linear_forward(x: Any, weight: Any, bias: Any = None) -> tuple[Any, Any]:
    """See `npswin.ops.linear_forward`."""
    x = cupy().ascontiguousarray(x)
    y = matrix_product(x, weight)
    return (y if bias is None else add_bias(y, bias)), (x, weight, bias is not None)


def linear_backward(dy: Any, cache: Any) -> tuple[Any, Any, Any]:
    """See `npswin.ops.linear_backward`."""
    x, weight, has_bias = cache
    dy = cupy().ascontiguousarray(dy)
    dx, dweight = matrix_product_backward(dy, x, weight)
    return dx, dweight, sum_over_rows(dy) if has_bias else None
