"""What a detector finds in an image."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from npswin.backends import dispatch
from npswin.models.detection.boxes import have_area
from npswin.types import Array


@dataclass(frozen=True, eq=False)
class DetectorOutput:
    """The objects that a detector found in an image, by falling score; all arrays are on the host.

    Masks are those of the boxes; `npswin.training.predict_detections` returns `npswin.data.Detections`, whose masks are
    those of the image.

    Attributes:
        boxes: (n, 4), x₁, y₁, x₂, y₂, in pixels.
        scores: (n,), probabilities of the classes.
        labels: (n,) int64, classes from 0 to K − 1.
        mask_probabilities: (n, M, M), of each pixel of a box to belong to the object; M pixels a side, whatever the
            box's size, so that it takes little memory; None where the model finds boxes alone.
        size: (H, W) of the image.
    """

    boxes: Array
    scores: Array
    labels: Array
    mask_probabilities: Array | None
    size: tuple[int, int]

    def at_size(self, boxes: Array, size: tuple[int, int]) -> "DetectorOutput":
        """The same objects in an image of another size, where their boxes are these."""
        return replace(self, boxes=boxes.astype(self.boxes.dtype), size=size)

    def masks(self, threshold: float = 0.5) -> Array:
        """(n, H, W) bool: the pixels of the image whose probability is at least the threshold, 0 outside the box.

        Raises:
            ValueError: the model finds boxes alone.
        """
        if self.mask_probabilities is None:
            raise ValueError("masks: these are boxes alone, of a model with masks=False")
        return dispatch.paste_masks(self.mask_probabilities, self.boxes, self.size, threshold)


class DetectionLimits(NamedTuple):
    """Which boxes count as found.

    Attributes:
        score_threshold: above which a box of a class counts.
        iou_threshold: of non-maximum suppression, within a class.
        detections: of an image, at most.
    """

    score_threshold: float
    iou_threshold: float
    detections: int


def best_boxes(boxes: Array, probabilities: Array, limits: DetectionLimits) -> tuple[Array, Array, Array]:
    """Each RoI is a candidate for every class; those that count are kept unless a better one of the class overlaps.

    A box of which nothing is left in the image is none.

    Args:
        boxes: (R, K, 4), of each RoI for each class, or (R, 1, 4), the same for all.
        probabilities: (R, K), of the classes without the background.
        limits: which.

    Returns:
        boxes (n, 4), scores (n,) and labels (n,), by falling score.
    """
    rois, labels = np.nonzero(probabilities > limits.score_threshold)
    chosen = boxes[rois, labels if boxes.shape[1] > 1 else 0]
    inside = have_area(chosen)
    chosen, labels, scores = chosen[inside], labels[inside], probabilities[rois, labels][inside]
    kept = dispatch.nms(chosen, scores, limits.iou_threshold, labels)[: limits.detections]
    return chosen[kept], scores[kept], labels[kept]
