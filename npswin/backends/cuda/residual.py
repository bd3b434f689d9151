"""`residual`: a shortcut plus a branch, with one factor an image on the branch."""

from typing import Any

from npswin.backends.cuda.dropout import multiply_repeated
from npswin.backends.cuda.runtime.launch import blocks, launch
from npswin.devices import cupy


def scale_per_image(x: Any, path_scale: Any) -> Any:
    """s · x with one s an image, or x itself where there is no drop path."""
    return x if path_scale is None else multiply_repeated(x, path_scale, x.size // max(1, len(x)))


def residual_forward(shortcut: Any, branch: Any, path_scale: Any = None) -> tuple[Any, Any]:
    """See `npswin.ops.residual_forward`."""
    cp = cupy()
    shortcut, branch = cp.ascontiguousarray(shortcut), cp.ascontiguousarray(branch)
    y = cp.empty(branch.shape, branch.dtype)
    sizes = y.size, 1, y.size // max(1, len(y))
    launch("elementwise", "residual_forward", y.dtype, blocks(y.size), (shortcut, branch, None, path_scale, y, *sizes))
    return y, path_scale


def residual_backward(dy: Any, cache: Any) -> tuple[Any, Any]:
    """See `npswin.ops.residual_backward`."""
    return dy, scale_per_image(cupy().ascontiguousarray(dy), cache)
