"""The layer normalization layer."""

from typing import Any

import numpy as np

from npswin.backends import dispatch
from npswin.checks import check_size
from npswin.layers.layer import Layer, check_input, keep, kept_for
from npswin.types import Array


class LayerNorm(Layer):
    """Each token's channels shifted and scaled to mean 0 and variance 1, then by a learned gain and bias.

    Parameters: weight (C,), ones; bias (C,), zeros.

    Args:
        dim: C.
        dtype: of the parameters.
    """

    names = ("weight", "bias")

    def __init__(self, dim: int, dtype: Any = "float32") -> None:
        super().__init__()
        self.dim = dim = check_size("dim", dim)
        self.add_parameter("weight", np.ones(dim), dtype)
        self.add_parameter("bias", np.zeros(dim), dtype)

    def __call__(self, x: Array) -> Array:
        return self.forward(x)[0]

    def forward(self, x: Array, rng: np.random.Generator | None = None) -> tuple[Array, Any]:
        """x (..., C) -> y (..., C), cache."""
        check_input(self, x, self.dim, rng=rng)
        y, cache = dispatch.layer_norm_forward(x, *self.select(self.names))
        return y, keep(self, (y,), cache)

    def backward(self, dy: Array, cache: Any) -> Array:
        """dy (..., C) -> dx (..., C)."""
        dx, *gradients = dispatch.layer_norm_backward(dy, kept_for(self, dy, cache))
        self.accumulate(self.names, gradients)
        return dx
