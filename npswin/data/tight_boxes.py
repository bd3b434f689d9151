"""The boxes of masks."""

import numpy as np

from npswin.checks import check_array, describe
from npswin.types import Array


def tight_boxes(masks: Array) -> Array:
    """The smallest box around each mask, from the outer edges of its outermost pixels.

    Args:
        masks: (n, H, W) bool.

    Returns:
        (n, 4) float32, corners x1, y1, x2, y2 in pixels; zeros for a mask without a pixel.

    Raises:
        ValueError: `masks` has another shape or dtype.
    """
    check_array("masks", masks, "bool of shape (n, H, W)")
    if masks.ndim != 3 or masks.dtype != bool:
        raise ValueError(f"masks: got {describe(masks)}, expected bool of shape (n, H, W)")
    boxes = np.zeros((len(masks), 4), np.float32)
    if masks.size == 0:
        return boxes
    for axis, (low, high) in ((1, (0, 2)), (2, (1, 3))):
        occupied = np.logical_or.reduce(masks, axis=axis)  # over rows for x, over columns for y
        boxes[:, low] = occupied.argmax(axis=1)
        boxes[:, high] = occupied.shape[1] - occupied[:, ::-1].argmax(axis=1)
    boxes[~masks.any(axis=(1, 2))] = 0
    return boxes
