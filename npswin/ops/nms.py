"""Greedy non-maximum suppression (Felzenszwalb et al. 2010, section 7.2)."""

import numpy as np

from npswin.ops.arguments import Axes, number
from npswin.ops.box_iou import box_iou
from npswin.ops.description import op
from npswin.types import Array


def falling_order(scores: Array) -> Array:
    """The order by falling score, of equal scores the first one first.

    Raises:
        ValueError: a score is NaN, which has no place in an order.
    """
    if np.isnan(scores).any():
        raise ValueError(f"scores: got NaN at {int(np.isnan(scores).argmax())}, expected numbers")
    return np.argsort(-scores.real, kind="stable")


@op(boxes="n 4", scores="n", iou_threshold=number(at_least=0, at_most=1), groups=Axes("n", integers=True))
def nms(boxes: Array, scores: Array, iou_threshold: float, groups: Array | None = None) -> Array:
    """By falling score, keep a box unless it overlaps one of its group that was kept by more than a threshold of IoU.

    Args:
        boxes: (n, 4), x₁, y₁, x₂, y₂, in pixels.
        scores: (n,).
        iou_threshold: above it a box is removed.
        groups: (n,), such as classes or levels, or None for one group.

    Returns:
        indices of the kept boxes (kept,), int64, by falling score; of equal scores the first one comes first.

    Raises:
        ValueError: a score is NaN.
    """
    order, kept = falling_order(scores), []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(best)
        suppressed = box_iou(boxes[best][None], boxes[rest])[0] > iou_threshold
        if groups is not None:
            suppressed &= groups[rest] == groups[best]
        order = rest[~suppressed]
    return np.asarray(kept, np.int64)
