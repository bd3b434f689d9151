"""The linear layer."""

from typing import Any

import numpy as np

from npswin.backends import dispatch
from npswin.checks import check_flag, check_generator, check_size
from npswin.layers.layer import Layer, check_input, keep, kept_for, truncated_normal
from npswin.types import Array


class Linear(Layer):
    """y = x Wᵀ + b on the last axis.

    Parameters: weight (out, in), from a truncated normal of deviation 0.02; bias (out,), zero.

    Args:
        in_features: channels of x.
        out_features: channels of y.
        rng: draws the weight.
        bias: whether there is a bias.
        dtype: of the parameters.
    """

    names = ("weight", "bias")

    def __init__(
        self, in_features: int, out_features: int, rng: np.random.Generator, bias: bool = True, dtype: Any = "float32"
    ) -> None:
        super().__init__()
        self.in_features = in_features = check_size("in_features", in_features)
        out_features = check_size("out_features", out_features)
        check_generator("rng", rng)
        self.add_parameter("weight", truncated_normal(rng, (out_features, in_features)), dtype)
        if check_flag("bias", bias):
            self.add_parameter("bias", np.zeros(out_features), dtype)

    def __call__(self, x: Array) -> Array:
        check_input(self, x, self.in_features)
        return dispatch.linear(x, *self.select(self.names))

    def forward(self, x: Array, rng: np.random.Generator | None = None) -> tuple[Array, Any]:
        """x (..., in) -> y (..., out), cache."""
        check_input(self, x, self.in_features, rng=rng)
        y, cache = dispatch.linear_forward(x, *self.select(self.names))
        return y, keep(self, (y,), cache)

    def backward(self, dy: Array, cache: Any) -> Array:
        """dy (..., out) -> dx (..., in)."""
        dx, *gradients = dispatch.linear_backward(dy, kept_for(self, dy, cache))
        self.accumulate(self.names, gradients)
        return dx
