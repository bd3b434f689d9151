"""What the mask head has to predict: the part of a true mask in a box (He et al. 2017, section 3.1)."""

import numpy as np

from npswin.backends.dispatcher import dispatch
from npswin.checks import check_array, check_integer, describe
from npswin.types import Array

THRESHOLD = 0.5


def mask_targets(masks: Array, boxes: Array, indices: Array, size: int = 28) -> Array:
    """Each box's part of its true mask, resampled to size × size by RoIAlign and rounded to 0 or 1.

    Boxes are cut off at the border of the image, as in mmdetection's mask_target and BitmapMasks.crop_and_resize.

    Args:
        masks: (m, H, W) bool, of the image's true boxes.
        boxes: (n, 4), x₁, y₁, x₂, y₂, in pixels; each one that has a true box.
        indices: (n,), of which true box's mask is wanted.
        size: side of the target.

    Returns:
        (n, size, size) of the boxes' dtype, 1 where at least half belongs to the mask, else 0.

    Raises:
        ValueError: an argument is not as described.
    """
    if check_array("masks", masks).ndim != 3 or masks.dtype != np.bool_:
        raise ValueError(f"masks: got {describe(masks)}, expected bool (m, H, W)")
    size = check_integer("size", size, 1)
    count = len(check_array("boxes", boxes))
    if check_array("indices", indices).shape != (count,) or indices.dtype.kind != "i":
        raise ValueError(f"indices: got {describe(indices)}, expected integers ({count},), one for each of the boxes")
    if count and not 0 <= indices.min() <= indices.max() < len(masks):
        raise ValueError(f"indices: got {indices.min()} to {indices.max()}, expected those of {len(masks)} masks")
    used, places = np.unique(indices, return_inverse=True)
    height, width = masks.shape[1:]
    corners = np.clip(boxes, 0, np.asarray([width, height, width, height], boxes.dtype))
    rois = np.concatenate([places[:, None].astype(boxes.dtype), corners], axis=1)
    maps = masks[used][..., None].astype(boxes.dtype)
    return (dispatch.roi_align(maps, rois, (size, size), 1.0)[..., 0] >= THRESHOLD).astype(boxes.dtype)
