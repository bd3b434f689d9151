"""What a detector finds in an image."""

from dataclasses import dataclass

import numpy as np

from npswin.data.samples import FLOATS, check_axes, check_boxes
from npswin.types import Array


@dataclass(frozen=True, eq=False)
class Detections:
    """The objects that were found in one image; coordinates are those of `DetectionSample`.

    Measures, pictures and files of results take them. A model returns `npswin.models.detection.DetectorOutput`, whose
    masks are those of the boxes; `npswin.training.predict_detections` makes one from the other.

    Attributes:
        boxes: (n, 4) float32 or float64, corners x1, y1, x2, y2, x1 <= x2 and y1 <= y2; n may be 0.
        labels: (n,) int64, the class of each, from 0 to K - 1.
        scores: (n,) float32 or float64, larger where the detector is surer.
        masks: (n, H, W) bool, or None where boxes alone are found.

    Raises:
        ValueError: an array has another shape or dtype, or a number is not finite, or a box's corners are exchanged.
    """

    boxes: Array
    labels: Array
    scores: Array
    masks: Array | None = None

    def __post_init__(self) -> None:
        count = len(check_axes("labels", self.labels, ("n",), ("int64",)))
        check_boxes("boxes", self.boxes, count)
        check_axes("scores", self.scores, (count,), FLOATS)
        if self.masks is not None:
            check_axes("masks", self.masks, (count, "H", "W"), ("bool",))
        if not np.isfinite(self.scores).all():
            raise ValueError("scores: got NaN or infinity, expected finite numbers")
