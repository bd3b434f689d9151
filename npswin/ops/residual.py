"""The residual connection, with stochastic depth on the branch."""

from typing import Any

from npswin.ops.description import op
from npswin.types import Array


@op(shortcut="B ...", branch="B ...", path_scale="B")
def residual_forward(shortcut: Array, branch: Array, path_scale: Array | None = None) -> tuple[Array, Any]:
    """y = shortcut + s · branch, with one factor s an image.

    Args:
        shortcut: (B, ...).
        branch: (B, ...), the same shape.
        path_scale: (B,), 0 where an image skips the branch and 1/(1 − rate) where it does not
            (drop path; Huang et al. 2016, equation 5), or None for s = 1.

    Returns:
        y (B, ...) and the cache for the backward pass.

    Test: tests/ops/test_gradients.py::test_residual
    """
    if path_scale is None:
        return shortcut + branch, None
    scale = path_scale.reshape(-1, *[1] * (branch.ndim - 1))
    return shortcut + scale * branch, scale


def residual_backward(dy: Array, cache: Any) -> tuple[Array, Array]:
    """dshortcut = dy, dbranch = s · dy.

    Args:
        dy: (B, ...).

    Returns:
        dshortcut and dbranch, both (B, ...).
    """
    scale = cache
    return dy, (dy if scale is None else scale * dy)
