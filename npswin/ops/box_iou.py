"""The intersection over union of boxes."""

import numpy as np

from npswin.ops.description import op
from npswin.types import Array


@op(a="n 4", b="m 4")
def box_iou(a: Array, b: Array) -> Array:
    """The area in which two boxes overlap over that of their union, for each pair; 0 where neither has an area.

    Args:
        a: (n, 4), x₁, y₁, x₂, y₂, in pixels.
        b: (m, 4).

    Returns:
        IoU (n, m), in [0, 1].
    """
    a, b = a.real, b.real
    sides = np.minimum(a[:, None, 2:], b[:, 2:]) - np.maximum(a[:, None, :2], b[:, :2])
    intersection = np.maximum(sides, 0).prod(axis=2)
    union = (a[:, 2:] - a[:, :2]).prod(axis=1)[:, None] + (b[:, 2:] - b[:, :2]).prod(axis=1) - intersection
    return np.divide(intersection, union, out=np.zeros_like(intersection), where=union != 0)
