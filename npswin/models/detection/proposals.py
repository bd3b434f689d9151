"""From the region proposal network's outputs to proposals (Ren et al. 2015, section 3.3)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from npswin.backends import dispatch
from npswin.models.detection.boxes import RPN_DEVIATIONS, decode, have_area, host_floats
from npswin.types import Array


class ProposalLimits(NamedTuple):
    """How many proposals there are.

    Attributes:
        before_nms: of each level, the best ones.
        after_nms: of all levels together.
        iou_threshold: of non-maximum suppression, within a level.
    """

    before_nms: int
    after_nms: int
    iou_threshold: float


def propose(outputs: Sequence[Array], anchors: Sequence[Array], sizes: Array, limits: ProposalLimits) -> list[Array]:
    """The boxes of each image in which an object is most likely, by falling objectness.

    A box of which nothing is left in the image, such as that of an anchor beside it, is no proposal: it overlaps no
    other one, so that non-maximum suppression would keep them all. Where a network that diverged has an objectness of
    NaN, it counts as the least: its loss is NaN as well.

    Args:
        outputs: objectness (B, N) and deltas (B, N, 4).
        anchors: (Nᵢ, 4) of each level; N in all.
        sizes: (B, 2), height and width of each image, without padding: boxes are cut off there.
        limits: how many.

    Returns:
        (n, 4) for each image, on the host.
    """
    all_objectness, all_deltas = (host_floats(output) for output in outputs)
    all_objectness = np.nan_to_num(all_objectness, nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    counts = [len(level) for level in anchors]
    starts = np.cumsum([0, *counts[:-1]])
    flat_anchors = np.concatenate(anchors)
    proposals = []
    for objectness, deltas, size in zip(all_objectness, all_deltas, sizes, strict=True):
        best = [
            start + np.argsort(-objectness[start : start + count], kind="stable")[: limits.before_nms]
            for start, count in zip(starts, counts, strict=True)
        ]
        levels = np.repeat(np.arange(len(best)), [len(places) for places in best])
        chosen = np.concatenate(best)
        boxes = decode(deltas[chosen], flat_anchors[chosen], RPN_DEVIATIONS, size)
        inside = have_area(boxes)
        boxes, chosen, levels = boxes[inside], chosen[inside], levels[inside]
        kept = dispatch.nms(boxes, objectness[chosen], limits.iou_threshold, levels)
        proposals.append(boxes[kept[: limits.after_nms]])
    return proposals
