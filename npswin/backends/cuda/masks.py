"""What is dropped at random, and the residual connection."""

from typing import Any

from npswin.backends.cuda.launch import blocks, check_shape, launch, sum_dtype
from npswin.devices import cupy


def draw_mask(rng: Any, shape: tuple[int, ...], rate: float, dtype: Any) -> Any:
    """See `npswin.ops.draw_mask`; the generator is CuPy's, and so are its numbers."""
    mask, uniform = cupy().empty(shape, dtype), rng.random(shape, dtype=sum_dtype(dtype))
    launch("elementwise", "draw_mask", dtype, blocks(mask.size), (uniform, mask, mask.size, 1 - rate))
    return mask


def _multiplied(x: Any, factor: Any, repeat: int) -> Any:
    y = cupy().empty(x.shape, x.dtype)
    if factor.size * repeat != x.size:
        raise ValueError(f"got a factor of shape {factor.shape} for an array of {x.shape}")
    launch("elementwise", "multiply", x.dtype, blocks(x.size), (x, factor, y, x.size, repeat))
    return y


def scaled(x: Any, path_scale: Any) -> Any:
    """s · x with one s an image, or x itself where there is no drop path."""
    return x if path_scale is None else _multiplied(x, path_scale, x.size // max(1, len(x)))


def dropout_forward(x: Any, mask: Any) -> tuple[Any, Any]:
    """See `npswin.ops.dropout_forward`."""
    return (x if mask is None else _multiplied(cupy().ascontiguousarray(x), mask, 1)), mask


def dropout_backward(dy: Any, cache: Any) -> Any:
    """See `npswin.ops.dropout_backward`."""
    return dropout_forward(dy, cache)[0]


def residual_forward(shortcut: Any, branch: Any, path_scale: Any = None) -> tuple[Any, Any]:
    """See `npswin.ops.residual_forward`."""
    cp = cupy()
    check_shape("shortcut", shortcut, branch.shape)
    check_shape("path_scale", path_scale, branch.shape[:1])
    shortcut, branch = cp.ascontiguousarray(shortcut), cp.ascontiguousarray(branch)
    y = cp.empty(branch.shape, branch.dtype)
    sizes = y.size, 1, y.size // max(1, len(y))
    launch("elementwise", "residual_forward", y.dtype, blocks(y.size), (shortcut, branch, None, path_scale, y, *sizes))
    return y, path_scale


def residual_backward(dy: Any, cache: Any) -> tuple[Any, Any]:
    """See `npswin.ops.residual_backward`."""
    return dy, scaled(cupy().ascontiguousarray(dy), cache)
