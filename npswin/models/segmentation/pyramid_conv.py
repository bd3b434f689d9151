"""A convolution of maps of several sizes, with batch norm and ReLU."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from npswin.backends import dispatch
from npswin.layers import BatchNorm2d, Layer
from npswin.layers.conv2d import Conv2d
from npswin.layers.layer import child, keep, kept_for
from npswin.types import Array


class PyramidConv(Layer):
    """y = ReLU(BN([x₀, up(x₁), up(x₂), …] ∗ W)), with up for bilinear resizing to the size of x₀.

    The maps need not be put side by side: their convolution is the sum of each one's with its part of W's channels,

        [x₀, up(x₁), …] ∗ W = x₀ ∗ W₀ + up(x₁) ∗ W₁ + …

    Parameters: conv.weight (out, Σ in, k, k); bn.weight, bn.bias (out,). Buffers: those of `BatchNorm2d`.

    Args:
        in_channels: of each map.
        out_channels: of y.
        kernel_size: k, odd; maps are padded by k//2 zeros.
        rng: draws the weight.
        dtype: of the parameters.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int,
        kernel_size: int,
        rng: np.random.Generator,
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        self._ends = np.cumsum(in_channels)[:-1].tolist()
        self.add_child("conv", Conv2d(sum(in_channels), out_channels, kernel_size, rng, bias=False, dtype=dtype))
        self.add_child("bn", BatchNorm2d(out_channels, dtype))

    conv = child("conv")
    bn = child("bn")

    def _weights(self) -> list[Array]:
        """The part of W that belongs to each map."""
        return np.split(self.conv.own_params["weight"], self._ends, axis=1)

    def __call__(self, maps: Sequence[Array]) -> Array:  # type: ignore[override]
        first, *others = self._weights()
        y = dispatch.conv2d(maps[0], first, None, 1, self.conv.padding)
        for x, weight in zip(maps[1:], others, strict=True):
            y += dispatch.resized_conv2d(x, weight, maps[0].shape[1:3])
        return dispatch.relu(self.bn(y))

    def forward(self, maps: Sequence[Array], rng: np.random.Generator | None = None) -> tuple[Array, Any]:  # type: ignore[override]
        """Maps (B, Hᵢ, Wᵢ, inᵢ) -> y (B, H₀, W₀, out), cache."""
        first, *others = self._weights()
        y, cache = dispatch.conv2d_forward(maps[0], first, None, 1, self.conv.padding)
        caches = [cache]
        for x, weight in zip(maps[1:], others, strict=True):
            added, cache = dispatch.resized_conv2d_forward(x, weight, maps[0].shape[1:3])
            y += added
            caches.append(cache)
        y, norm_cache = self.bn.forward(y)
        y, relu_cache = dispatch.relu_forward(y)
        return y, keep(self, (y,), (caches, norm_cache, relu_cache))

    def backward(self, dy: Array, cache: Any) -> list[Array]:  # type: ignore[override]
        """dy (B, H₀, W₀, out) -> the derivative by each map."""
        (first, *others), norm_cache, relu_cache = kept_for(self, dy, cache)
        dy = self.bn.backward(dispatch.relu_backward(dy, relu_cache), norm_cache)
        dx, dweight, _ = dispatch.conv2d_backward(dy, first)
        dmaps, dweights = [dx], [dweight]
        for one in others:
            dx, dweight = dispatch.resized_conv2d_backward(dy, one)
            dmaps.append(dx)
            dweights.append(dweight)
        self.accumulate(("conv.weight",), (np.concatenate(dweights, axis=1),))
        return dmaps
