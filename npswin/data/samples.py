"""Samples of dense tasks: an image with a class for each pixel, or with boxes, classes and masks of objects."""

from dataclasses import dataclass

import numpy as np

from npswin.checks import check_array, describe
from npswin.types import Array

IGNORED = 255  # the label of a pixel that has no class: it takes no part in losses and results
FLOATS = ("float32", "float64")


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
        check_axes("labels", self.labels, (height, width), ("uint8", "int64"))


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
        height, width = _check_image(self.image)
        count = len(check_axes("labels", self.labels, ("n",), ("int64",)))
        check_boxes("boxes", self.boxes, count)
        check_axes("crowd", self.crowd, (count,), ("bool",))
        if self.masks is not None:
            check_axes("masks", self.masks, (count, height, width), ("bool",))


def _check_image(image: Array) -> tuple[int, int]:
    """Height and width of an image, or a ValueError."""
    check_axes("image", image, ("c", "H", "W"), ("uint8",))
    if image.size == 0:
        raise ValueError(f"image: got {describe(image)}, expected nothing empty")
    return image.shape[1], image.shape[2]


def check_boxes(name: str, boxes: Array, count: int) -> Array:
    """So many boxes (n, 4) with finite corners in their order, or a ValueError."""
    check_axes(name, boxes, (count, 4), FLOATS)
    if not np.isfinite(boxes).all() or (boxes[:, :2] > boxes[:, 2:]).any():
        raise ValueError(f"{name}: got corners that are not finite or exchanged, expected x1 <= x2 and y1 <= y2")
    return boxes


def check_axes(name: str, array: Array, shape: tuple[int | str, ...], dtypes: tuple[str, ...]) -> Array:
    """An array of this shape, in which an axis with a name may have any length, and one of these dtypes."""
    expected = f"{' or '.join(dtypes)} of shape ({', '.join(map(str, shape))}{',' * (len(shape) == 1)})"
    check_array(name, array, expected)
    fits = [isinstance(wanted, str) or wanted == length for wanted, length in zip(shape, array.shape, strict=False)]
    if array.ndim != len(shape) or not all(fits) or array.dtype.name not in dtypes or not array.dtype.isnative:
        raise ValueError(f"{name}: got {describe(array)}, expected {expected}")
    return array
