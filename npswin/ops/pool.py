"""Global average pooling."""

from typing import Any

import numpy as np

from npswin.ops.description import op
from npswin.types import Array


@op(x="B H W C")
def mean_pool_forward(x: Array) -> tuple[Array, Any]:
    """The mean over the map.

    Args:
        x: (B, H, W, C).

    Returns:
        y (B, C) and the cache for the backward pass.

    Test: tests/ops/test_gradients.py::test_mean_pool
    """
    return x.mean(axis=(1, 2)), x.shape


def mean_pool_backward(dy: Array, cache: Any) -> Array:
    """Each of the H·W positions has the weight 1/(H·W).

    Args:
        dy: (B, C).

    Returns:
        dx (B, H, W, C).
    """
    batch, height, width, channels = cache
    return np.broadcast_to((dy / (height * width))[:, None, None], (batch, height, width, channels)).copy()
