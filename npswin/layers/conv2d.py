"""The 2-D convolution layer."""

import math
from typing import Any

import numpy as np

from npswin.backends import dispatch
from npswin.checks import check_flag, check_generator, check_integer, check_number, check_size
from npswin.layers.layer import Layer, check_input, keep, kept_for
from npswin.types import Array


class Conv2d(Layer):
    """Each k×k neighbourhood of a map's tokens to one token, y = x ∗ W + b.

    Parameters: weight (out, in, k, k); bias (out,), zero.

    Args:
        in_channels: channels of x.
        out_channels: channels of y.
        kernel_size: k, odd.
        rng: draws the weight.
        stride: tokens from one neighbourhood to the next.
        bias: whether there is a bias.
        std: deviation of the normal distribution of the initial weight; √(2 / (k² out)) where it is None, which keeps
            the variance of the derivative through a ReLU (He et al. 2015, section 2.2, equation 14).
        dtype: of the parameters.

    The map is padded by k//2 zeros on all sides, so that with a stride of 1 the output has its size.
    """

    names = ("weight", "bias")

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        rng: np.random.Generator,
        stride: int = 1,
        bias: bool = True,
        std: float | None = None,
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        self.in_channels = in_channels = check_size("in_channels", in_channels)
        out_channels, kernel_size = check_size("out_channels", out_channels), check_size("kernel_size", kernel_size)
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size: got {kernel_size}, expected an odd number")
        self.stride, self.padding = check_integer("stride", stride, 1), kernel_size // 2
        if std is None:
            std = math.sqrt(2 / (kernel_size**2 * out_channels))
        std = check_number("std", std, at_least=0)
        shape = (out_channels, in_channels, kernel_size, kernel_size)
        self.add_parameter("weight", check_generator("rng", rng).normal(0, std, shape), dtype)
        if check_flag("bias", bias):
            self.add_parameter("bias", np.zeros(out_channels), dtype)

    def __call__(self, x: Array) -> Array:
        check_input(self, x, self.in_channels, rank=4)
        return dispatch.conv2d(x, *self.select(self.names), self.stride, self.padding)

    def forward(self, x: Array, rng: np.random.Generator | None = None) -> tuple[Array, Any]:
        """x (B, H, W, in) -> y (B, ⌈H/stride⌉, ⌈W/stride⌉, out), cache."""
        check_input(self, x, self.in_channels, rank=4, rng=rng)
        y, cache = dispatch.conv2d_forward(x, *self.select(self.names), self.stride, self.padding)
        return y, keep(self, (y,), cache)

    def backward(self, dy: Array, cache: Any) -> Array:
        """dy (B, H', W', out) -> dx (B, H, W, in)."""
        dx, *gradients = dispatch.conv2d_backward(dy, kept_for(self, dy, cache))
        self.accumulate(self.names, gradients)
        return dx
