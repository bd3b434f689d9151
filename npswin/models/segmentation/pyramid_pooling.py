"""Pyramid pooling (Zhao et al. 2017, "Pyramid Scene Parsing Network", section 3.2): a map beside means of itself."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from npswin.backends import dispatch
from npswin.layers import Layer
from npswin.layers.conv_module import ConvModule
from npswin.types import Array


class PyramidPooling(Layer):
    """x, conv₁(pool_s₁ x), conv₂(pool_s₂ x), …

    pool_s averages the map in s×s bins; conv is 1×1 with batch norm and ReLU. Resized to x's size and put side by side,
    which `PyramidConv` does, each token gets beside its own channels those of the regions that it lies in, up to the
    whole image.

    Parameters: i.1.conv.weight, i.1.bn.weight, i.1.bn.bias for each scale i.

    Args:
        in_channels: C of x.
        channels: of each scale's map.
        scales: s₁, s₂, …
        rng: draws the weights.
        dtype: of the parameters.

    Attributes:
        out_channels: of each map.
    """

    def __init__(
        self, in_channels: int, channels: int, scales: Sequence[int], rng: np.random.Generator, dtype: Any = "float32"
    ) -> None:
        super().__init__()
        self.scales, self.out_channels = tuple(scales), [in_channels, *(channels for _ in scales)]
        self.convs = [ConvModule(in_channels, channels, 1, rng, dtype) for _ in scales]
        for place, conv in enumerate(self.convs):
            self.add_child(f"{place}.1", conv)  # "i.0" is the pooling, which has no parameters

    def __call__(self, x: Array) -> list[Array]:  # type: ignore[override]
        scales = zip(self.scales, self.convs, strict=True)
        return [x, *(conv(dispatch.adaptive_avg_pool2d(x, (scale, scale))) for scale, conv in scales)]

    def forward(self, x: Array, rng: np.random.Generator | None = None) -> tuple[list[Array], Any]:  # type: ignore[override]
        """x (B, H, W, C) -> itself and a map (B, s, s, channels) for each scale s, and the cache."""
        maps, caches = [x], []
        for scale, conv in zip(self.scales, self.convs, strict=True):
            pooled, pool_cache = dispatch.adaptive_avg_pool2d_forward(x, (scale, scale))
            y, conv_cache = conv.forward(pooled, rng)
            maps.append(y)
            caches.append((pool_cache, conv_cache))
        return maps, caches

    def backward(self, dmaps: Sequence[Array], cache: Any) -> Array:  # type: ignore[override]
        """The derivative by x, which goes into every map: a sum over them."""
        dx, *others = dmaps
        for conv, dmap, (pool_cache, conv_cache) in zip(self.convs, others, cache, strict=True):
            dx = dx + dispatch.adaptive_avg_pool2d_backward(conv.backward(dmap, conv_cache), pool_cache)
        return dx
