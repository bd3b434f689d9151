"""Pyramid pooling (Zhao et al. 2017, "Pyramid Scene Parsing Network", section 3.2): a map beside means of itself."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from npswin.backends import dispatch
from npswin.layers import Layer
from npswin.layers.conv_module import ConvModule
from npswin.layers.layer import keep, kept_for
from npswin.types import Array


class PyramidPooling(Layer):
    """y = [x, up(conv₁(pool_s₁ x)), up(conv₂(pool_s₂ x)), …], side by side along the channels.

    pool_s averages the map in s×s bins, conv is 1×1 with batch norm and ReLU, and up resizes bilinearly to x's size:
    each token gets beside its own channels those of the regions that it lies in, up to the whole image.

    Parameters: i.1.conv.weight, i.1.bn.weight, i.1.bn.bias for each scale i.

    Args:
        in_channels: C of x.
        channels: of each scale's part.
        scales: s₁, s₂, …
        rng: draws the weights.
        dtype: of the parameters.

    Attributes:
        out_channels: of y.
    """

    def __init__(
        self, in_channels: int, channels: int, scales: Sequence[int], rng: np.random.Generator, dtype: Any = "float32"
    ) -> None:
        super().__init__()
        self.scales, self.sizes = tuple(scales), (in_channels, *(channels for _ in scales))
        self.out_channels = sum(self.sizes)
        self.convs = [ConvModule(in_channels, channels, 1, rng, dtype) for _ in scales]
        for place, conv in enumerate(self.convs):
            self.add_child(f"{place}.1", conv)  # "i.0" is the pooling, which has no parameters

    def __call__(self, x: Array) -> Array:
        parts = [x]
        for scale, conv in zip(self.scales, self.convs, strict=True):
            pooled = conv(dispatch.adaptive_avg_pool2d(x, (scale, scale)))
            parts.append(dispatch.resize_bilinear(pooled, x.shape[1:3]))
        return np.concatenate(parts, axis=-1)

    def forward(self, x: Array, rng: np.random.Generator | None = None) -> tuple[Array, Any]:
        """x (B, H, W, C) -> y (B, H, W, out_channels), cache."""
        parts, caches = [x], []
        for scale, conv in zip(self.scales, self.convs, strict=True):
            pooled, pool_cache = dispatch.adaptive_avg_pool2d_forward(x, (scale, scale))
            pooled, conv_cache = conv.forward(pooled, rng)
            part, resize_cache = dispatch.resize_bilinear_forward(pooled, x.shape[1:3])
            parts.append(part)
            caches.append((pool_cache, conv_cache, resize_cache))
        y = np.concatenate(parts, axis=-1)
        return y, keep(self, (y,), caches)

    def backward(self, dy: Array, cache: Any) -> Array:
        """dy (B, H, W, out_channels) -> dx (B, H, W, C): x goes into every part, so their derivatives are added."""
        caches = kept_for(self, dy, cache)
        dx, *dparts = split_channels(dy, self.sizes)
        for conv, dpart, (pool_cache, conv_cache, resize_cache) in zip(self.convs, dparts, caches, strict=True):
            dpooled = conv.backward(dispatch.resize_bilinear_backward(dpart, resize_cache), conv_cache)
            dx += dispatch.adaptive_avg_pool2d_backward(dpooled, pool_cache)
        return dx


def split_channels(x: Array, sizes: Sequence[int]) -> list[Array]:
    """The parts of so many channels each, as arrays of their own."""
    parts = np.split(x, np.cumsum(sizes)[:-1].tolist(), axis=-1)
    return [part.copy() for part in parts]
