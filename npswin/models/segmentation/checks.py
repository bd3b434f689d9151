"""Checks of a segmenter's arguments, so that an error names them."""

from typing import Any

from npswin.checks import check_array, check_size, describe, shown
from npswin.layers.layer import check_device
from npswin.types import Array


def checked_pool_scales(scales: Any) -> list[int]:
    """The bins a side of each map of the pyramid pooling.

    Raises:
        ValueError: there are none, or one is no integer of at least 1.
    """
    if not isinstance(scales, list | tuple) or not scales:
        raise ValueError(f"pool_scales: got {shown(scales)}, expected a list of sizes")
    return [check_size(f"pool_scales[{place}]", scale) for place, scale in enumerate(scales)]


def check_labels(labels: Array, images: Array) -> None:
    """Raise a ValueError unless labels (B, H, W) are integers, one for each pixel of images (B, c, H, W)."""
    expected = f"integers of shape {(len(images), *images.shape[2:])}, one for each pixel"
    check_array("labels", labels, expected)
    if labels.shape != (len(images), *images.shape[2:]) or labels.dtype.kind not in "iu":
        raise ValueError(f"labels: got {describe(labels)}, expected {expected}")
    check_device("labels", labels, images)
