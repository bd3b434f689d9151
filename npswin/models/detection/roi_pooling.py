"""Features of boxes, each from the map of the pyramid that fits its size (Lin et al. 2017, equation 1)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from npswin.backends import dispatch
from npswin.devices import to_device_of
from npswin.types import Array


def levels_of(boxes: Array, finest_scale: float, levels: int) -> Array:
    """Which map a box is read from: ⌊log₂(√(w h) / finest_scale)⌋, limited to the maps that there are.

    A box of less than twice the finest scale, 56 pixels in the official models, is read from the finest map, number 0;
    one of twice its size from the next map, and so on. The quotient is increased by 10⁻⁶, as mmdetection does.

    Args:
        boxes: (R, 4), x₁, y₁, x₂, y₂, in pixels.
        finest_scale: side of a box, in pixels.
        levels: number of maps.

    Returns:
        (R,) int64.
    """
    sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    scale = np.sqrt(sides.prod(axis=1))
    return np.clip(np.floor(np.log2(scale / finest_scale + 1e-6)), 0, levels - 1).astype(np.int64)


def pool_rois_forward(maps: Sequence[Array], rois: Array, size: int, strides: Sequence[int]) -> tuple[Array, Any]:
    """RoIAlign of each RoI on its own map.

    Args:
        maps: (B, Hᵢ, Wᵢ, C).
        rois: (R, 5), the image's place in the batch and x₁, y₁, x₂, y₂ in pixels, on the host.
        size: bins a side.
        strides: pixels of the image a pixel of each map. A box of 14 of them a side has the finest scale: 56 pixels
            where the stride is 4.

    Returns:
        features (R, size, size, C) and the cache for the backward pass.
    """
    levels = levels_of(rois[:, 1:], 14 * strides[0], len(maps))
    features = np.empty_like(maps[0], shape=(len(rois), size, size, maps[0].shape[-1]))
    caches: list[Any] = []
    for level, (x, stride) in enumerate(zip(maps, strides, strict=True)):
        chosen, cache = np.flatnonzero(levels == level), None
        places = to_device_of(chosen, x)
        if len(chosen):
            rois_of_level = to_device_of(rois[chosen].astype(x.real.dtype), x)
            features[places], cache = dispatch.roi_align_forward(x, rois_of_level, (size, size), 1 / stride)
        caches.append((places, cache, x.shape))
    return features, caches


def pool_rois_backward(dfeatures: Array, caches: Any) -> list[Array]:
    """The derivative by each map: that of RoIAlign, summed over the map's RoIs; zero where a map has none.

    Boxes are constants: no derivative goes through them.

    Args:
        dfeatures: (R, size, size, C).
    """
    return [
        np.zeros_like(dfeatures, shape=shape)
        if cache is None
        else dispatch.roi_align_backward(dfeatures[places], cache)
        for places, cache, shape in caches
    ]
