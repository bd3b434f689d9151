"""The feature pyramid (Lin et al. 2017, "Feature Pyramid Networks for Object Detection", section 3)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from npswin.backends import dispatch
from npswin.checks import check_size
from npswin.layers import Layer
from npswin.layers.conv2d import Conv2d
from npswin.layers.layer import keep, kept
from npswin.models.detection.initialization import draw_xavier_uniform
from npswin.types import Array


class FPN(Layer):
    """A map of C channels for each stage of the backbone, and a coarser one, each with the meaning of the last stage.

        Lᵢ = conv₁ₓ₁(xᵢ)                    laterals
        Lᵢ ← Lᵢ + up(Lᵢ₊₁)                  from the top down; up repeats the nearest pixel, to the finer map's size
        Pᵢ = conv₃ₓ₃(Lᵢ)
        Pₙ₊₁: every second row and column of Pₙ, for the largest anchors

    Parameters: lateral_convs.i.conv and fpn_convs.i.conv, weight and bias.

    Args:
        in_channels: of each stage's map, from the first stage to the last.
        channels: C, 256 in the official configurations.
        rng: draws the weights.
        dtype: of the parameters.
    """

    def __init__(
        self, in_channels: Sequence[int], channels: int, rng: np.random.Generator, dtype: Any = "float32"
    ) -> None:
        super().__init__()
        channels = check_size("channels", channels)
        self.laterals = [Conv2d(size, channels, 1, rng, dtype=dtype) for size in in_channels]
        self.convs = [Conv2d(channels, channels, 3, rng, dtype=dtype) for _ in in_channels]
        for level, (lateral, conv) in enumerate(zip(self.laterals, self.convs, strict=True)):
            for name, layer in ((f"lateral_convs.{level}.conv", lateral), (f"fpn_convs.{level}.conv", conv)):
                draw_xavier_uniform(layer, rng)
                self.add_child(name, layer)

    def __call__(self, maps: Sequence[Array]) -> list[Array]:  # type: ignore[override]
        """The pyramid's maps (B, Hᵢ, Wᵢ, C) of the backbone's (B, Hᵢ, Wᵢ, Cᵢ), one more than those."""
        laterals = [conv(x) for conv, x in zip(self.laterals, maps, strict=True)]
        for level in reversed(range(1, len(laterals))):
            finer = laterals[level - 1]
            laterals[level - 1] = finer + dispatch.resize_nearest(laterals[level], finer.shape[1:3])
        pyramid = [conv(x) for conv, x in zip(self.convs, laterals, strict=True)]
        return [*pyramid, dispatch.max_pool2d(pyramid[-1], 1, 2)]

    def forward(self, maps: Sequence[Array], rng: np.random.Generator | None = None) -> tuple[list[Array], Any]:  # type: ignore[override]
        """As `__call__`, and the cache for `backward`."""
        lateral_steps = [conv.forward(x) for conv, x in zip(self.laterals, maps, strict=True)]
        laterals, resize_caches = [y for y, _ in lateral_steps], []
        for level in reversed(range(1, len(laterals))):
            finer = laterals[level - 1]
            up, cache = dispatch.resize_nearest_forward(laterals[level], finer.shape[1:3])
            laterals[level - 1] = finer + up
            resize_caches.append(cache)
        conv_steps = [conv.forward(x) for conv, x in zip(self.convs, laterals, strict=True)]
        coarsest, pool_cache = dispatch.max_pool2d_forward(conv_steps[-1][0], 1, 2)
        pyramid = [*(y for y, _ in conv_steps), coarsest]
        caches = [cache for _, cache in lateral_steps], resize_caches, [cache for _, cache in conv_steps], pool_cache
        return pyramid, keep(self, pyramid, caches)

    def backward(self, dpyramid: Sequence[Array], cache: Any) -> list[Array]:  # type: ignore[override]
        """The derivative by each of the backbone's maps; adds to `grads`.

        Pₙ goes out and is subsampled, and a lateral Lᵢ, i > 1, goes into its own conv and, enlarged, into Lᵢ₋₁: the
        derivative of each is the sum of both.

        Args:
            dpyramid: the derivative by each of the pyramid's maps.
        """
        lateral_caches, resize_caches, conv_caches, pool_cache = kept(self, cache).content
        douts = list(dpyramid[:-1])
        douts[-1] = douts[-1] + dispatch.max_pool2d_backward(dpyramid[-1], pool_cache)
        dlaterals = [conv.backward(*pair) for conv, *pair in zip(self.convs, douts, conv_caches, strict=True)]
        for level, resize_cache in enumerate(reversed(resize_caches), start=1):
            dlaterals[level] = dlaterals[level] + dispatch.resize_nearest_backward(dlaterals[level - 1], resize_cache)
        return [conv.backward(*pair) for conv, *pair in zip(self.laterals, dlaterals, lateral_caches, strict=True)]
