"""Checks of a detector's images and objects, so that an error names the argument."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from npswin.checks import check_array_like, describe, shown
from npswin.data.samples import check_axes, check_boxes
from npswin.devices import to_host
from npswin.models.detection.samples import Objects, TrueObjects
from npswin.types import Array


def check_sizes(sizes: Array | None, images: Array) -> Array:
    """Height and width of each image (B, 2) without its padding.

    Raises:
        ValueError: they are no integers from 1 to the height and the width of the batch.
    """
    batch, _, height, width = images.shape
    if sizes is None:
        return np.array([[height, width]] * batch)
    expected = f"{batch} rows (height, width) of integers up to ({height}, {width})"
    sizes = to_host(check_array_like("sizes", sizes, expected))
    if sizes.shape != (batch, 2) or sizes.dtype.kind not in "iu":
        raise ValueError(f"sizes: got {describe(sizes)}, expected {expected}")
    if (sizes < 1).any() or (sizes > (height, width)).any():
        raise ValueError(f"sizes: got {shown(sizes.tolist())}, expected {expected}")
    return sizes


def check_objects(
    objects: Sequence[Objects], sizes: Array, num_classes: int, dtype: Any, masks: bool
) -> list[TrueObjects]:
    """The objects of each image, with boxes of the model's dtype.

    Raises:
        ValueError: an array has another shape or dtype, there are no masks and they are needed, or a label is no class.
    """
    if not isinstance(objects, list | tuple) or len(objects) != len(sizes):
        got = f"{len(objects)}" if isinstance(objects, list | tuple) else shown(objects)
        raise ValueError(f"objects: got {got}, expected a list of the objects of {len(sizes)} images")
    return [
        _checked(f"objects[{image}]", one, (int(height), int(width)), num_classes, dtype, masks)
        for image, (one, (height, width)) in enumerate(zip(objects, sizes, strict=True))
    ]


def _checked(
    name: str, objects: Objects, size: tuple[int, int], num_classes: int, dtype: Any, needs_masks: bool
) -> TrueObjects:
    if not all(hasattr(objects, part) for part in ("boxes", "labels", "masks", "crowd")):
        raise ValueError(f"{name}: got {shown(objects)}, expected objects such as those of a DetectionSample")
    labels, masks = objects.labels, objects.masks if needs_masks else None
    if needs_masks and masks is None:
        raise ValueError(f"{name}.masks: got None, expected masks to train the mask head on (or a model without masks)")
    count = len(check_axes(f"{name}.labels", labels, ("n",), ("int64",)))
    boxes = check_boxes(f"{name}.boxes", objects.boxes, count)
    crowd = check_axes(f"{name}.crowd", objects.crowd, (count,), ("bool",))
    if masks is not None:
        check_axes(f"{name}.masks", masks, (count, *size), ("bool",))
    wrong = (labels < 0) | (labels >= num_classes)
    if wrong.any():
        raise ValueError(f"{name}.labels: got {labels[wrong][0]}, expected 0 to {num_classes - 1}")
    return TrueObjects(boxes.astype(dtype), labels, masks, crowd)
