"""The pooling layer."""

from typing import Any

import numpy as np

from npswin.backends import dispatch
from npswin.layers.layer import Layer, check_input, keep, kept_for
from npswin.types import Array


class MeanPool(Layer):
    """The mean over the map. It has no parameters."""

    def __call__(self, x: Array) -> Array:
        return self.forward(x)[0]

    def forward(self, x: Array, rng: np.random.Generator | None = None) -> tuple[Array, Any]:
        """x (B, H, W, C) -> y (B, C), cache."""
        check_input(self, x, rank=4, rng=rng)
        y, cache = dispatch.mean_pool_forward(x)
        return y, keep(self, (y,), cache)

    def backward(self, dy: Array, cache: Any) -> Array:
        """dy (B, C) -> dx (B, H, W, C)."""
        return dispatch.mean_pool_backward(dy, kept_for(self, dy, cache))
