"""Boxes on the host, where samples, proposals and detections are chosen, whatever the device of the maps."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from npswin.backends import dispatch
from npswin.devices import to_host
from npswin.types import Array

Deviations = tuple[float, float, float, float]  # of deltas, by which they are divided so that they become about 1
RPN_DEVIATIONS: Deviations = (1.0, 1.0, 1.0, 1.0)


def box_dtype(x: Array) -> Any:
    """The dtype of boxes that are computed from a map: its own, or float32 for 16 bits."""
    return np.float64 if x.dtype == np.float64 else np.float32


def host_floats(x: Array) -> Array:
    """An array on the host, in the dtype of boxes."""
    return to_host(x.astype(box_dtype(x), copy=False))


def decode(deltas: Array, boxes: Array, deviations: Deviations, sizes: Array) -> Array:
    """The boxes (n, 4) that deltas make of boxes (n, 4), cut off at the image's borders.

    Args:
        deltas, boxes: on the host.
        deviations: of the deltas.
        sizes: height and width of the image, (2,), or of each box's image, (n, 2).
    """
    decoded = dispatch.decode_boxes_forward(deltas, boxes.astype(deltas.dtype), deviations)[0]
    return np.clip(decoded, 0, sizes[..., [1, 0, 1, 0]].astype(decoded.dtype))


def have_area(boxes: Array) -> Array:
    """Which boxes (n, 4) have a width and a height above 0: (n,) bool. Corners that are NaN have none."""
    return (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])


def with_images(boxes: Sequence[Array]) -> Array:
    """RoIs (R, 5) of boxes (Rᵢ, 4) of each image: the image's place in the batch goes first."""
    images = np.repeat(np.arange(len(boxes)), [len(one) for one in boxes])
    joined = np.concatenate(boxes)
    return np.concatenate([images[:, None].astype(joined.dtype), joined], axis=1)
