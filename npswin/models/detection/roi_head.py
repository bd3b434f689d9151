"""The RoI heads of Mask R-CNN, and their cascade (Cai, Vasconcelos 2018)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from npswin.backends import dispatch
from npswin.layers import Layer
from npswin.models.detection.boxes import host_floats, with_images
from npswin.models.detection.detections import DetectionLimits, DetectorOutput, best_boxes
from npswin.models.detection.roi_stage import MASK_SIZE, RoIStage
from npswin.models.detection.samples import TrueObjects
from npswin.types import Array


class RoIHead(Layer):
    """Proposals -> box head, mask head; and so again from the boxes that come out, stage by stage.

    Mask R-CNN has one stage. In a cascade each stage begins with better boxes than the one before it, and learns from
    those that fit better: its threshold of IoU is higher.

    Parameters: bbox_head and mask_head; in a cascade bbox_head.i and mask_head.i.

    Args:
        stages: in order.
    """

    def __init__(self, stages: Sequence[RoIStage]) -> None:
        super().__init__()
        self.stages = list(stages)
        for place, stage in enumerate(self.stages):
            suffix = f".{place}" if len(self.stages) > 1 else ""
            self.add_child(f"bbox_head{suffix}", stage.box_head)
            if stage.mask_head is not None:
                self.add_child(f"mask_head{suffix}", stage.mask_head)

    @property
    def loss_names(self) -> tuple[str, ...]:
        """The names of the losses: "loss_cls", "loss_bbox" and "loss_mask", in a cascade "s0.loss_cls" and so on."""
        names = ("loss_cls", "loss_bbox", *(("loss_mask",) if self.finds_masks else ()))
        return tuple(prefix + name for prefix in self._prefixes for name in names)

    @property
    def finds_masks(self) -> bool:
        """Whether there are mask heads."""
        return self.stages[0].mask_head is not None

    @property
    def _prefixes(self) -> list[str]:
        return [f"s{place}." for place in range(len(self.stages))] if len(self.stages) > 1 else [""]

    def loss_forward(
        self,
        maps: Sequence[Array],
        proposals: Sequence[Array],
        objects: Sequence[TrueObjects],
        sizes: Array,
        rng: np.random.Generator,
    ) -> tuple[dict[str, Any], Any]:
        """The losses of all stages, each on samples of the boxes that the stage before it made of its own.

        Args:
            maps: of the pyramid, (B, Hᵢ, Wᵢ, C).
            proposals: boxes (n, 4) of each image.
            objects: the true ones of each image.
            sizes: (B, 2), height and width of each image.
            rng: draws the samples.

        Returns:
            The losses by the names in `loss_names`; the cache for `loss_backward`.
        """
        losses: dict[str, Any] = {}
        caches = []
        for prefix, stage in zip(self._prefixes, self.stages, strict=True):
            samples = stage.draw_samples(proposals, objects, rng)
            stage_losses, outputs, cache = stage.loss_forward(maps, samples)
            losses |= {prefix + name: loss for name, loss in stage_losses.items()}
            caches.append(cache)
            if stage is not self.stages[-1]:
                logits, deltas = (host_floats(output) for output in outputs)
                rois = stage.refine(samples.rois, logits, deltas, sizes, samples.labels)
                rois = rois[~samples.is_true_box]
                proposals = [rois[rois[:, 0] == image, 1:] for image in range(len(objects))]
        return losses, caches

    def loss_backward(self, caches: Any, scale: Any = 1.0) -> list[Array]:
        """The derivative of the sum of the losses by each map; adds to `grads`.

        Every stage reads the same maps: their derivatives are added. The boxes that go from stage to stage are
        constants.

        Args:
            caches: from `loss_forward`.
            scale: factor on the derivative.
        """
        of_stages = [stage.loss_backward(cache, scale) for stage, cache in zip(self.stages, caches, strict=True)]
        return [sum(derivatives[1:], start=derivatives[0]) for derivatives in zip(*of_stages, strict=True)]

    def detect(
        self, maps: Sequence[Array], proposals: Sequence[Array], sizes: Array, limits: DetectionLimits
    ) -> list[DetectorOutput]:
        """What is found in each image.

        In a cascade the logits of a RoI are the mean of the stages', each from its own boxes; the boxes are the last
        stage's, and the probability of a mask's pixel is the mean of the stages'.

        Args:
            maps: of the pyramid, (B, Hᵢ, Wᵢ, C).
            proposals: boxes (n, 4) of each image.
            sizes: (B, 2), height and width of each image.
            limits: which boxes count.
        """
        rois, all_logits = with_images(proposals), []
        for stage in self.stages:
            logits, deltas = stage.predict(maps, rois)
            all_logits.append(logits)
            if stage is not self.stages[-1]:
                rois = stage.refine(rois, logits, deltas, sizes)
        probabilities = dispatch.softmax(sum(all_logits) / len(all_logits))[:, :-1]
        boxes = self.stages[-1].decode_all(rois, deltas, sizes)
        found = []
        for image in range(len(sizes)):
            of_image = rois[:, 0] == image
            found.append(best_boxes(boxes[of_image], probabilities[of_image], limits))
        masks = self._masks(maps, [boxes for boxes, _, _ in found], np.concatenate([labels for *_, labels in found]))
        return [
            DetectorOutput(*one, of_image, (int(height), int(width)))
            for one, of_image, (height, width) in zip(found, masks, sizes, strict=True)
        ]

    def _masks(self, maps: Sequence[Array], boxes: Sequence[Array], labels: Array) -> Sequence[Array | None]:
        """The mean probability (n, M, M) over the stages, for the boxes (n, 4) of each image; None without masks."""
        if not self.finds_masks:
            return [None] * len(boxes)
        rois, side = with_images(boxes), 2 * MASK_SIZE
        if len(rois):
            of_stages = [stage.predict_masks(maps, rois, labels) for stage in self.stages]
            masks = sum(of_stages) / len(of_stages)
        else:
            masks = np.zeros((0, side, side), rois.dtype)
        return np.split(masks, np.cumsum([len(one) for one in boxes])[:-1])
