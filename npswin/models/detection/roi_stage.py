"""One stage of the RoI heads: from proposals to losses, or to classes, boxes and masks."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from npswin.models.detection.box_head import BoxHead
from npswin.models.detection.boxes import box_dtype, decode, host_floats
from npswin.models.detection.losses import (
    box_head_loss_backward,
    box_head_loss_forward,
    mask_head_loss_backward,
    mask_head_loss_forward,
)
from npswin.models.detection.mask_head import MaskHead
from npswin.models.detection.roi_pooling import pool_rois_backward, pool_rois_forward
from npswin.models.detection.samples import RoISamples, StageRule, TrueObjects
from npswin.models.detection.sampling import draw_roi_samples
from npswin.types import Array

BOX_SIZE, MASK_SIZE = 7, 14  # bins a side of the features; a mask has twice as many pixels a side


class RoIStage:
    """A box head and, if masks are found, a mask head, and the rule by which they are trained.

    Args:
        box_head: of the stage.
        mask_head: of the stage, or None.
        rule: of the stage.
        strides: pixels of the image a pixel of each map that RoIs are read from.
        samples: proposals of an image on which it is trained.
    """

    def __init__(
        self, box_head: BoxHead, mask_head: MaskHead | None, rule: StageRule, strides: Sequence[int], samples: int
    ) -> None:
        self.box_head, self.mask_head, self.rule = box_head, mask_head, rule
        self.strides, self.samples = tuple(strides), samples

    def draw_samples(
        self, proposals: Sequence[Array], objects: Sequence[TrueObjects], rng: np.random.Generator
    ) -> RoISamples:
        """The proposals on which the stage is trained: see `draw_roi_samples`."""
        background = self.box_head.num_classes
        mask_side = None if self.mask_head is None else 2 * MASK_SIZE
        return draw_roi_samples(proposals, objects, self.rule, self.samples, background, mask_side, rng)

    def loss_forward(self, maps: Sequence[Array], samples: RoISamples) -> tuple[dict[str, Any], list[Array], Any]:
        """The losses of both heads on the sampled RoIs.

        Args:
            maps: of the pyramid, (B, Hᵢ, Wᵢ, C).
            samples: the RoIs.

        Returns:
            "loss_cls", "loss_bbox" and "loss_mask", times the stage's weight; the box head's outputs; and the cache for
            `loss_backward`. Without positive RoIs the mask's loss is 0; without a mask head there is none.
        """
        rule = self.rule
        features, pool_cache = pool_rois_forward(maps, samples.rois, BOX_SIZE, self.strides)
        outputs, head_cache = self.box_head.forward(features)
        losses, loss_cache = box_head_loss_forward(
            outputs, samples, rule.deviations, rule.box_loss, rule.box_loss_weight
        )
        mask_cache = None
        if self.mask_head is not None:
            losses["loss_mask"], mask_cache = self._mask_loss_forward(self.mask_head, maps, samples)
        losses = {name: rule.loss_weight * loss for name, loss in losses.items()}
        return losses, outputs, (loss_cache, head_cache, pool_cache, mask_cache)

    def _mask_loss_forward(self, mask_head: MaskHead, maps: Sequence[Array], samples: RoISamples) -> tuple[Any, Any]:
        positive = np.flatnonzero(samples.labels < self.box_head.num_classes)
        if not len(positive):
            return np.zeros_like(maps[0], box_dtype(maps[0]), shape=()), None
        features, pool_cache = pool_rois_forward(maps, samples.rois[positive], MASK_SIZE, self.strides)
        logits, head_cache = mask_head.forward(features)
        loss, loss_cache = mask_head_loss_forward(logits, samples.labels[positive], samples.masks)
        return loss, (loss_cache, head_cache, pool_cache)

    def loss_backward(self, cache: Any, scale: Any = 1.0) -> list[Array]:
        """The derivative of the sum of the stage's losses by each map; adds to the heads' `grads`.

        Args:
            cache: from `loss_forward`.
            scale: factor on the derivative.
        """
        loss_cache, head_cache, pool_cache, mask_cache = cache
        scale = scale * self.rule.loss_weight
        dfeatures = self.box_head.backward(box_head_loss_backward(loss_cache, scale), head_cache)
        dmaps = pool_rois_backward(dfeatures, pool_cache)
        if self.mask_head is not None and mask_cache is not None:
            loss_cache, head_cache, pool_cache = mask_cache
            dfeatures = self.mask_head.backward(mask_head_loss_backward(loss_cache, scale), head_cache)
            dmaps = [a + b for a, b in zip(dmaps, pool_rois_backward(dfeatures, pool_cache), strict=True)]
        return dmaps

    def predict(self, maps: Sequence[Array], rois: Array) -> tuple[Array, Array]:
        """Logits (R, K + 1) and deltas (R, K or 1, 4) of RoIs (R, 5), on the host."""
        logits, deltas = self.box_head(pool_rois_forward(maps, rois, BOX_SIZE, self.strides)[0])
        return host_floats(logits), host_floats(deltas)

    def predict_masks(self, maps: Sequence[Array], rois: Array, labels: Array) -> Array:
        """The probability (R, M, M), on the host, of each pixel of a RoI (R, 5) to be its object's."""
        assert self.mask_head is not None
        logits = self.mask_head(pool_rois_forward(maps, rois, MASK_SIZE, self.strides)[0])
        chosen = host_floats(logits)[np.arange(len(rois)), :, :, labels]
        return 1 / (1 + np.exp(-chosen))

    def refine(self, rois: Array, logits: Array, deltas: Array, sizes: Array, labels: Array | None = None) -> Array:
        """The boxes that the stage makes of its RoIs, for the next stage (Cai, Vasconcelos 2018, equation 6).

        Args:
            rois: (R, 5).
            logits, deltas: what the box head predicts for them, on the host.
            sizes: (B, 2), height and width of each image.
            labels: (R,), the true classes in training, K for the background. Where there is no true class, the deltas
                are those of the most likely one.

        Returns:
            (R, 5), cut off at the images' borders.
        """
        background = logits.shape[1] - 1
        likely = logits[:, :background].argmax(axis=1)
        classes = likely if labels is None else np.where(labels == background, likely, labels)
        chosen = deltas[np.arange(len(deltas)), classes if deltas.shape[1] > 1 else 0]
        return np.concatenate([rois[:, :1], self._decode(rois, chosen, sizes)], axis=1)

    def decode_all(self, rois: Array, deltas: Array, sizes: Array) -> Array:
        """The box (R, K, 4) of each RoI (R, 5) for each class, or (R, 1, 4) for all, by deltas of the same shape."""
        boxes = [self._decode(rois, deltas[:, label], sizes) for label in range(deltas.shape[1])]
        return np.stack(boxes, axis=1)

    def _decode(self, rois: Array, deltas: Array, sizes: Array) -> Array:
        return decode(deltas, rois[:, 1:], self.rule.deviations, sizes[rois[:, 0].astype(np.int64)])
