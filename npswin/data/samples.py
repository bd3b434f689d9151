"""Samples of dense tasks: an image with a class for each pixel, or with boxes, classes and masks of objects."""

from dataclasses import dataclass

import numpy as np

from npswin.checks import check_array, describe
from npswin.types import Array

IGNORED = 255  # the label of a pixel that has no class: it takes no part in losses and results


@dataclass(frozen=True, eq=False)
class SegmentationSample:
    """An image, and the class of each pixel.

    Attributes:
        image: (c, H, W) uint8.
        labels: (H, W) uint8 or int64, each from 0 to K - 1 for K classes, or 255, which is ignored.

    Raises:
        ValueError: an array has another shape or dtype.
    """

    image: Array
    labels: Array

    def __post_init__(self) -> None:
        height, width = _check_image(self.image)
        expected = f"uint8 or int64 of shape ({height}, {width}), as the image"
        labels = check_array("labels", self.labels, expected)
        if labels.shape != (height, width) or labels.dtype not in (np.uint8, np.int64):
            raise ValueError(f"labels: got {describe(labels)}, expected {expected}")


@dataclass(frozen=True, eq=False)
class DetectionSample:
    """An image, and its objects.

    Coordinates are in pixels, from the image's left upper corner: the pixel in row i and column j is the square from
    (j, i) to (j + 1, i + 1).

    Attributes:
        image: (c, H, W) uint8.
        boxes: (n, 4) float32 or float64, corners x1, y1, x2, y2 of each object, x1 <= x2 and y1 <= y2; n may be 0.
        labels: (n,) int64, the class of each object, from 0 to K - 1 for K classes.
        masks: (n, H, W) bool, the pixels of each object; None where the data have boxes alone.
        crowd: (n,) bool, what is a region with several objects, or an object too difficult to ask for: it is neither
            trained on nor counted, and what is found there is no mistake.

    Raises:
        ValueError: an array has another shape or dtype, or a box is not finite, or its corners are exchanged.
    """

    image: Array
    boxes: Array
    labels: Array
    masks: Array | None
    crowd: Array

    def __post_init__(self) -> None:
        size, count = _check_image(self.image), len(check_array("labels", self.labels, "int64 of shape (n,)"))
        _check_like("labels", self.labels, (count,), ("int64",))
        boxes = _check_like("boxes", self.boxes, (count, 4), ("float32", "float64"))
        _check_like("crowd", self.crowd, (count,), ("bool",))
        if self.masks is not None:
            _check_like("masks", self.masks, (count, *size), ("bool",))
        if not np.isfinite(boxes).all() or (boxes[:, :2] > boxes[:, 2:]).any():
            raise ValueError("boxes: got corners that are not finite or exchanged, expected x1 <= x2 and y1 <= y2")


def _check_image(image: Array) -> tuple[int, int]:
    """Height and width of an image, or a ValueError."""
    check_array("image", image, "uint8 of shape (c, H, W), not empty")
    if image.ndim != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ValueError(f"image: got {describe(image)}, expected uint8 of shape (c, H, W), not empty")
    return image.shape[1], image.shape[2]


def _check_like(name: str, array: Array, shape: tuple[int, ...], dtypes: tuple[str, ...]) -> Array:
    expected = f"{' or '.join(dtypes)} of shape {shape}"
    check_array(name, array, expected)
    if array.shape != shape or array.dtype.name not in dtypes:
        raise ValueError(f"{name}: got {describe(array)}, expected {expected}")
    return array
