"""The two heads of UPerNet: from the backbone's maps to logits."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from npswin.backends import dispatch
from npswin.checks import check_number
from npswin.layers import Layer
from npswin.layers.conv2d import Conv2d
from npswin.layers.conv_module import ConvModule
from npswin.layers.layer import draw_mask, keep, kept_for
from npswin.models.segmentation.pyramid_conv import PyramidConv
from npswin.models.segmentation.pyramid_pooling import PyramidPooling
from npswin.types import Array


class PixelClassifier(Layer):
    """logits = dropout(x) Wᵀ + b, where dropout sets whole channels of an image to zero (Tompson et al. 2015, 3.2).

    Parameters: those of the head that it is a part of, conv_seg.weight (K, C, 1, 1) and conv_seg.bias (K,).

    Args:
        channels: C.
        num_classes: K.
        dropout: rate.
        rng: draws the weight.
        dtype: of the parameters.
    """

    drop_rates = ("dropout",)

    def __init__(
        self, channels: int, num_classes: int, dropout: float, rng: np.random.Generator, dtype: Any = "float32"
    ) -> None:
        super().__init__()
        self.dropout = check_number("dropout", dropout, at_least=0, below=1)
        self.conv_seg = Conv2d(channels, num_classes, 1, rng, std=0.01, dtype=dtype)
        self.add_child("conv_seg", self.conv_seg)

    def __call__(self, x: Array) -> Array:
        return self.conv_seg(x)

    def forward(self, x: Array, rng: np.random.Generator | None = None) -> tuple[Array, Any]:
        """x (B, H, W, C) -> logits (B, H, W, K), cache."""
        mask = draw_mask(rng, (len(x), 1, 1, x.shape[-1]), self.dropout, x)
        logits, conv_cache = self.conv_seg.forward(x if mask is None else x * mask)
        return logits, keep(self, (logits,), (mask, conv_cache))

    def backward(self, dy: Array, cache: Any) -> Array:
        """dy (B, H, W, K) -> dx (B, H, W, C)."""
        mask, conv_cache = kept_for(self, dy, cache)
        dx = self.conv_seg.backward(dy, conv_cache)
        return dx if mask is None else dx * mask


class UPerHead(Layer):
    """Pyramid pooling on the last map, a feature pyramid down to the first, and a classifier (Xiao et al. 2018, 3.1).

        Lᵢ = conv₁ₓ₁(xᵢ)                                    i < n: laterals
        Lₙ = conv₃ₓ₃(pyramid pooling(xₙ))
        Lᵢ ← Lᵢ + up(Lᵢ₊₁)                                  from the top down
        y  = conv₃ₓ₃([conv₃ₓ₃(L₁), up(conv₃ₓ₃(L₂)), …, up(Lₙ)])
        logits = dropout(y) Wᵀ + b

    Every conv has batch norm and ReLU; up resizes bilinearly to the size of the map that it meets.

    Parameters: psp_modules, bottleneck, lateral_convs.i, fpn_convs.i, fpn_bottleneck, conv_seg.

    Args:
        in_channels: of each map, from the first stage to the last.
        channels: of the pyramid, 512 in the official configurations.
        num_classes: K.
        pool_scales: of the pyramid pooling.
        dropout: rate before the classifier.
        rng: draws the weights.
        dtype: of the parameters.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int,
        num_classes: int,
        pool_scales: Sequence[int],
        dropout: float,
        rng: np.random.Generator,
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        self.classifier = PixelClassifier(channels, num_classes, dropout, rng, dtype)
        self.pyramid = PyramidPooling(in_channels[-1], channels, pool_scales, rng, dtype)
        self.bottleneck = PyramidConv(self.pyramid.out_channels, channels, 3, rng, dtype)
        self.laterals = [ConvModule(size, channels, 1, rng, dtype) for size in in_channels[:-1]]
        self.fpn_convs = [ConvModule(channels, channels, 3, rng, dtype) for _ in in_channels[:-1]]
        self.fpn_bottleneck = PyramidConv([channels for _ in in_channels], channels, 3, rng, dtype)
        self.add_child("", self.classifier)
        self.add_child("psp_modules", self.pyramid)
        self.add_child("bottleneck", self.bottleneck)
        for level, (lateral, conv) in enumerate(zip(self.laterals, self.fpn_convs, strict=True)):
            self.add_child(f"lateral_convs.{level}", lateral)
            self.add_child(f"fpn_convs.{level}", conv)
        self.add_child("fpn_bottleneck", self.fpn_bottleneck)

    def __call__(self, maps: Sequence[Array]) -> Array:  # type: ignore[override]
        """Logits (B, H₀, W₀, K) at the first map's size, of maps (B, Hᵢ, Wᵢ, Cᵢ)."""
        laterals = [conv(x) for conv, x in zip(self.laterals, maps[:-1], strict=True)]
        laterals.append(self.bottleneck(self.pyramid(maps[-1])))
        for level in reversed(range(1, len(laterals))):
            laterals[level - 1] += dispatch.resize_bilinear(laterals[level], laterals[level - 1].shape[1:3])
        outs = [conv(x) for conv, x in zip(self.fpn_convs, laterals[:-1], strict=True)]
        return self.classifier(self.fpn_bottleneck([*outs, laterals[-1]]))

    def forward(self, maps: Sequence[Array], rng: np.random.Generator | None = None) -> tuple[Array, Any]:  # type: ignore[override]
        """As `__call__`, and the cache for `backward`; rng draws what is dropped."""
        laterals, lateral_caches = _each_forward(self.laterals, maps[:-1])
        pooled, pyramid_cache = self.pyramid.forward(maps[-1])
        top, bottleneck_cache = self.bottleneck.forward(pooled)
        laterals.append(top)
        resize_caches = []  # from the top down
        for level in reversed(range(1, len(laterals))):
            up, cache = dispatch.resize_bilinear_forward(laterals[level], laterals[level - 1].shape[1:3])
            laterals[level - 1] = laterals[level - 1] + up
            resize_caches.append(cache)
        outs, conv_caches = _each_forward(self.fpn_convs, laterals[:-1])
        y, fused_cache = self.fpn_bottleneck.forward([*outs, top])
        logits, classifier_cache = self.classifier.forward(y, rng)
        top_down = lateral_caches, pyramid_cache, bottleneck_cache, resize_caches
        return logits, keep(self, (logits,), (top_down, conv_caches, fused_cache, classifier_cache))

    def backward(self, dlogits: Array, cache: Any) -> list[Array]:  # type: ignore[override]
        """The derivative by each map, from the derivative by the logits; adds to `grads`.

        A lateral Lᵢ, i > 1, goes into its own conv and, resized, into Lᵢ₋₁: its derivative is the sum of both.
        """
        top_down, conv_caches, fused_cache, classifier_cache = kept_for(self, dlogits, cache)
        lateral_caches, pyramid_cache, bottleneck_cache, resize_caches = top_down
        *douts, dtop = self.fpn_bottleneck.backward(self.classifier.backward(dlogits, classifier_cache), fused_cache)
        dlaterals = [*_each_backward(self.fpn_convs, douts, conv_caches), dtop]
        for level, resize_cache in enumerate(reversed(resize_caches), start=1):
            dlaterals[level] += dispatch.resize_bilinear_backward(dlaterals[level - 1], resize_cache)
        dmaps = _each_backward(self.laterals, dlaterals[:-1], lateral_caches)
        dpooled = self.bottleneck.backward(dlaterals[-1], bottleneck_cache)
        return [*dmaps, self.pyramid.backward(dpooled, pyramid_cache)]


def _each_forward(layers: Sequence[Layer], xs: Sequence[Array]) -> tuple[list[Array], list[Any]]:
    """Outputs and caches of layers, each with its own input."""
    pairs = [layer.forward(x) for layer, x in zip(layers, xs, strict=True)]
    return [y for y, _ in pairs], [cache for _, cache in pairs]


def _each_backward(layers: Sequence[Layer], dys: Sequence[Array], caches: Sequence[Any]) -> list[Array]:
    """The derivatives by the inputs of `_each_forward`."""
    return [layer.backward(dy, cache) for layer, dy, cache in zip(layers, dys, caches, strict=True)]


class FCNHead(Layer):
    """logits = classifier(conv₃ₓ₃(x)): the auxiliary head (Long et al. 2015), which is for training alone.

    Parameters: convs.0 and conv_seg.

    Args:
        in_channels: C of the map.
        channels: of the convolution, 256 in the official configurations.
        num_classes: K.
        dropout: rate before the classifier.
        rng: draws the weights.
        dtype: of the parameters.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        num_classes: int,
        dropout: float,
        rng: np.random.Generator,
        dtype: Any = "float32",
    ) -> None:
        super().__init__()
        self.classifier = PixelClassifier(channels, num_classes, dropout, rng, dtype)
        self.conv = ConvModule(in_channels, channels, 3, rng, dtype)
        self.add_child("", self.classifier)
        self.add_child("convs.0", self.conv)

    def __call__(self, x: Array) -> Array:
        return self.classifier(self.conv(x))

    def forward(self, x: Array, rng: np.random.Generator | None = None) -> tuple[Array, Any]:
        """x (B, H, W, C) -> logits (B, H, W, K), cache."""
        y, conv_cache = self.conv.forward(x)
        logits, classifier_cache = self.classifier.forward(y, rng)
        return logits, keep(self, (logits,), (conv_cache, classifier_cache))

    def backward(self, dy: Array, cache: Any) -> Array:
        """dy (B, H, W, K) -> dx (B, H, W, C)."""
        conv_cache, classifier_cache = kept_for(self, dy, cache)
        return self.conv.backward(self.classifier.backward(dy, classifier_cache), conv_cache)
