"""Convolution, batch norm, ReLU: the unit of the dense heads."""

from typing import Any

import numpy as np

from npswin.backends import dispatch
from npswin.layers.batch_norm import BatchNorm2d
from npswin.layers.conv2d import Conv2d
from npswin.layers.layer import Layer, child, keep, kept_for
from npswin.types import Array


class ConvModule(Layer):
    """y = ReLU(BN(x ∗ W)), with the names of the official dense-prediction code.

    Parameters: conv.weight (out, in, k, k), without a bias, since the norm has one; bn.weight, bn.bias (out,).
    Buffers: those of `BatchNorm2d`, as bn.running_mean.

    Args:
        in_channels: channels of x.
        out_channels: channels of y.
        kernel_size: k, odd; the map is padded by k//2 zeros.
        rng: draws the weight.
        dtype: of the parameters.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, rng: np.random.Generator, dtype: Any = "float32"
    ) -> None:
        super().__init__()
        self.add_child("conv", Conv2d(in_channels, out_channels, kernel_size, rng, bias=False, dtype=dtype))
        self.add_child("bn", BatchNorm2d(out_channels, dtype))

    conv = child("conv")
    bn = child("bn")

    def __call__(self, x: Array) -> Array:
        return dispatch.relu(self.bn(self.conv(x)))

    def forward(self, x: Array, rng: np.random.Generator | None = None) -> tuple[Array, Any]:
        """x (B, H, W, in) -> y (B, H, W, out), cache."""
        x, conv_cache = self.conv.forward(x, rng)
        x, norm_cache = self.bn.forward(x)
        y, relu_cache = dispatch.relu_forward(x)
        return y, keep(self, (y,), (conv_cache, norm_cache, relu_cache))

    def backward(self, dy: Array, cache: Any) -> Array:
        """dy (B, H, W, out) -> dx (B, H, W, in)."""
        conv_cache, norm_cache, relu_cache = kept_for(self, dy, cache)
        return self.conv.backward(self.bn.backward(dispatch.relu_backward(dy, relu_cache), norm_cache), conv_cache)
