"""Which true box an anchor or a proposal stands for, by IoU (Ren et al. 2015, section 3.1.2)."""

import numpy as np

from npswin.backends.dispatcher import dispatch
from npswin.checks import check_array, check_flag, check_number, describe
from npswin.types import Array

BACKGROUND, IGNORED = -1, -2  # instead of the index of a true box


def assign_boxes(
    boxes: Array,
    true_boxes: Array,
    crowd: Array | None = None,
    *,
    positive_iou: float,
    negative_iou: float,
    min_positive_iou: float,
    low_quality: bool = True,
) -> Array:
    """The true box of each box, as mmdetection's MaxIoUAssigner chooses it.

    1. A box whose largest IoU with a true box is below `negative_iou` is background.
    2. One for which it is at least `positive_iou` belongs to that true box; of several, to the first one.
    3. With `low_quality`, a true box gets those boxes that overlap it most, each of them if several do so alike, if
       that is by at least `min_positive_iou`: also boxes that belong to another one by 2; the last such true box wins.
    4. All others are ignored.

    True boxes that are crowds take no part; a box on a crowd is background. The region proposal network has
    0.7, 0.3 and 0.3, the box head of Mask R-CNN 0.5 for all three.

    Args:
        boxes: (n, 4), x₁, y₁, x₂, y₂, in pixels.
        true_boxes: (m, 4), in the same dtype; m may be 0: then all boxes are background.
        crowd: (m,) bool, or None for no crowds.
        positive_iou, negative_iou: thresholds of 2 and 1.
        min_positive_iou: of 3.
        low_quality: whether 3 applies.

    Returns:
        (n,) int64: the index of a true box, BACKGROUND or IGNORED.

    Raises:
        ValueError: an argument is not as described.
    """
    positive_iou = check_number("positive_iou", positive_iou, at_least=0, at_most=1)
    negative_iou = check_number("negative_iou", negative_iou, at_least=0, at_most=positive_iou)
    min_positive_iou = check_number("min_positive_iou", min_positive_iou, at_least=0, at_most=1)
    check_flag("low_quality", low_quality)
    counted = np.arange(len(check_array("true_boxes", true_boxes)))
    if crowd is not None:
        if check_array("crowd", crowd).dtype != np.bool_ or crowd.shape != counted.shape:
            raise ValueError(f"crowd: got {describe(crowd)}, expected bool of shape {counted.shape}")
        counted = counted[~crowd]
    iou = dispatch.box_iou(true_boxes[counted], boxes)  # a row for each true box
    if not len(counted):
        return np.full(len(boxes), BACKGROUND, np.int64)

    assigned = np.full(len(boxes), IGNORED, np.int64)
    largest = iou.max(axis=0)
    assigned[largest < negative_iou] = BACKGROUND
    positive = largest >= positive_iou
    assigned[positive] = counted[iou[:, positive].argmax(axis=0)]
    if low_quality:
        for index, row in zip(counted, iou, strict=True):
            best = row.max(initial=0)
            if best >= min_positive_iou:
                assigned[row == best] = index
    return assigned
