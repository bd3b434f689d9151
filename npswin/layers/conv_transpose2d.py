"""The transposed 2-D convolution layer."""

import math
from typing import Any

import numpy as np

from npswin.backends import dispatch
from npswin.checks import check_generator, check_size
from npswin.layers.layer import Layer, check_input, keep, kept_for
from npswin.types import Array


class ConvTranspose2d(Layer):
    """Each token to a patch of k×k tokens: the map becomes k times as high and as wide.

    Parameters: weight (in, out, k, k), from a normal distribution of deviation √(2 / (k² in)), as the official
    dense-prediction code draws it; bias (out,), zero.

    Args:
        in_channels: channels of x.
        out_channels: channels of y.
        kernel_size: k, which is the stride, too.
        rng: draws the weight.
        dtype: of the parameters.
    """

    names = ("weight", "bias")

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, rng: np.random.Generator, dtype: Any = "float32"
    ) -> None:
        super().__init__()
        self.in_channels = in_channels = check_size("in_channels", in_channels)
        out_channels, kernel_size = check_size("out_channels", out_channels), check_size("kernel_size", kernel_size)
        shape = (in_channels, out_channels, kernel_size, kernel_size)
        std = math.sqrt(2 / (kernel_size**2 * in_channels))
        self.add_parameter("weight", check_generator("rng", rng).normal(0, std, shape), dtype)
        self.add_parameter("bias", np.zeros(out_channels), dtype)

    def __call__(self, x: Array) -> Array:
        check_input(self, x, self.in_channels, rank=4)
        return dispatch.conv_transpose2d(x, *self.select(self.names))

    def forward(self, x: Array, rng: np.random.Generator | None = None) -> tuple[Array, Any]:
        """x (B, H, W, in) -> y (B, kH, kW, out), cache."""
        check_input(self, x, self.in_channels, rank=4, rng=rng)
        y, cache = dispatch.conv_transpose2d_forward(x, *self.select(self.names))
        return y, keep(self, (y,), cache)

    def backward(self, dy: Array, cache: Any) -> Array:
        """dy (B, kH, kW, out) -> dx (B, H, W, in)."""
        dx, *gradients = dispatch.conv_transpose2d_backward(dy, kept_for(self, dy, cache))
        self.accumulate(self.names, gradients)
        return dx
