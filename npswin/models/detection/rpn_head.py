"""The region proposal network (Ren et al. 2015, section 3.1): whether an anchor has an object, and where."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from npswin.backends import dispatch
from npswin.detection import grid_anchors, inside_anchors, valid_anchors
from npswin.detection.anchors import RATIOS, SCALE
from npswin.layers import Layer
from npswin.layers.conv2d import Conv2d
from npswin.layers.layer import keep, kept
from npswin.models.detection.boxes import box_dtype
from npswin.models.detection.samples import RPNRule, RPNSamples, TrueObjects
from npswin.models.detection.sampling import draw_rpn_samples
from npswin.types import Array


class RPNHead(Layer):
    """The same three convolutions on each map of the pyramid:

        z = ReLU(conv₃ₓ₃(x))        objectness = conv₁ₓ₁(z), A numbers a place        deltas = conv₁ₓ₁(z), 4A

    Parameters: rpn_conv, rpn_cls, rpn_reg, weight and bias, from a normal distribution of deviation 0.01.

    Args:
        channels: of the pyramid's maps, and of z.
        strides: pixels of the image a pixel of each map.
        samples: anchors of an image on which it is trained.
        rule: how it is trained.
        rng: draws the weights.
        dtype: of the parameters.
        anchor_scale: side of a square anchor, in strides.
    """

    def __init__(
        self,
        channels: int,
        strides: Sequence[int],
        samples: int,
        rule: RPNRule,
        rng: np.random.Generator,
        dtype: Any = "float32",
        anchor_scale: float = SCALE,
    ) -> None:
        super().__init__()
        self.strides, self.anchor_scale = tuple(strides), anchor_scale
        self.samples, self.rule = samples, rule
        anchors = len(RATIOS)
        self.conv = Conv2d(channels, channels, 3, rng, std=0.01, dtype=dtype)
        self.classifier = Conv2d(channels, anchors, 1, rng, std=0.01, dtype=dtype)
        self.regressor = Conv2d(channels, 4 * anchors, 1, rng, std=0.01, dtype=dtype)
        self.add_child("rpn_conv", self.conv)
        self.add_child("rpn_cls", self.classifier)
        self.add_child("rpn_reg", self.regressor)

    def __call__(self, pyramid: Sequence[Array]) -> tuple[Array, Array]:  # type: ignore[override]
        """Objectness (B, N) and deltas (B, N, 4) for the N anchors of all maps (B, Hᵢ, Wᵢ, C).

        Anchors are in the order of the maps, in each row by row, the A of a place side by side. The objectness is a
        logit.
        """
        objectness, deltas = [], []
        for x in pyramid:
            z = dispatch.relu(self.conv(x))
            objectness.append(self.classifier(z))
            deltas.append(self.regressor(z))
        return _by_anchor(objectness, deltas)

    def forward(self, pyramid: Sequence[Array], rng: np.random.Generator | None = None) -> tuple[list[Array], Any]:  # type: ignore[override]
        """As `__call__`, and the cache for `backward`."""
        objectness, deltas, caches = [], [], []
        for x in pyramid:
            z, conv_cache = self.conv.forward(x)
            z, relu_cache = dispatch.relu_forward(z)
            scores, classifier_cache = self.classifier.forward(z)
            moves, regressor_cache = self.regressor.forward(z)
            objectness.append(scores)
            deltas.append(moves)
            caches.append((conv_cache, relu_cache, classifier_cache, regressor_cache, scores.shape))
        outputs = list(_by_anchor(objectness, deltas))
        return outputs, keep(self, outputs, caches)

    def backward(self, doutputs: Sequence[Array], cache: Any) -> list[Array]:  # type: ignore[override]
        """The derivative by each map of the pyramid; adds to `grads`, to which every map contributes.

        Args:
            doutputs: the derivatives by objectness (B, N) and by deltas (B, N, 4).
            cache: from `forward`.
        """
        dobjectness, ddeltas = doutputs
        dpyramid, start = [], 0
        for conv_cache, relu_cache, classifier_cache, regressor_cache, shape in kept(self, cache).content:
            batch, height, width, anchors = shape
            stop = start + height * width * anchors
            dscores = dobjectness[:, start:stop].reshape(shape)
            dmoves = ddeltas[:, start:stop].reshape(batch, height, width, 4 * anchors)
            dz = self.classifier.backward(dscores, classifier_cache) + self.regressor.backward(dmoves, regressor_cache)
            dpyramid.append(self.conv.backward(dispatch.relu_backward(dz, relu_cache), conv_cache))
            start = stop
        return dpyramid

    def anchors(self, pyramid: Sequence[Array]) -> list[Array]:
        """The anchors (Hᵢ·Wᵢ·A, 4) of each map, on the host, in the order of the outputs."""
        return [
            grid_anchors(x.shape[1:3], stride, self.anchor_scale, dtype=box_dtype(x))
            for x, stride in zip(pyramid, self.strides, strict=True)
        ]

    def draw_samples(
        self, pyramid: Sequence[Array], objects: Sequence[TrueObjects], sizes: Array, rng: np.random.Generator
    ) -> RPNSamples:
        """The anchors on which the network is trained: see `draw_rpn_samples`.

        As in mmdetection, an anchor takes part if its place is one of the image, padded until the stride of the
        backbone's last stage divides its sides; padding beside larger images of the batch is no place of it. With the
        rule `anchors_inside` the whole anchor has to lie within the image, without padding. An image in which none
        does, since it is too small for them, has no samples.

        Args:
            pyramid: the maps.
            objects: the true ones of each image.
            sizes: (B, 2), height and width of each image.
            rng: draws them.
        """
        anchors = np.concatenate(self.anchors(pyramid))
        if self.rule.anchors_inside:
            taking_part = [inside_anchors(anchors, size) for size in sizes]
        else:
            coarsest = self.strides[-2]
            taking_part = [self._valid(pyramid, size) for size in -(-sizes // coarsest) * coarsest]
        return draw_rpn_samples(anchors, taking_part, objects, self.samples, rng)

    def _valid(self, pyramid: Sequence[Array], size: tuple[int, int]) -> Array:
        """Which anchors of all levels are at places of an image of this height and width."""
        levels = zip(pyramid, self.strides, strict=True)
        return np.concatenate([valid_anchors(x.shape[1:3], size, stride) for x, stride in levels])


def _by_anchor(objectness: Sequence[Array], deltas: Sequence[Array]) -> tuple[Array, Array]:
    """Maps (B, Hᵢ, Wᵢ, A) as (B, N), and maps (B, Hᵢ, Wᵢ, 4A) as (B, N, 4)."""
    batch = len(objectness[0])
    return (
        np.concatenate([x.reshape(batch, -1) for x in objectness], axis=1),
        np.concatenate([x.reshape(batch, -1, 4) for x in deltas], axis=1),
    )
