"""`nms`: groups are independent of each other, so threads share them; in a group, boxes by falling score."""

import numpy as np

from npswin.backends.cpu.box_iou import overlaps
from npswin.backends.cpu.machine.arrays import flat
from npswin.backends.cpu.machine.compilation import kernel
from npswin.backends.cpu.machine.flat_array import view
from npswin.backends.cpu.machine.threads import run_parallel
from npswin.ops.nms import falling_order
from npswin.types import Array

BLOCK = 1024  # boxes that are compared at a time


@kernel
def _keep(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    boxes: Array,
    coordinates: Array,
    starts: Array,
    iou_threshold: float,
    kept: Array,
) -> None:
    """A piece is a group; `boxes` and `coordinates` hold the same, by box and by coordinate."""
    for group in range(first, stop):
        end = starts[group + 1]
        for box in range(starts[group], end):
            if not kept[box]:
                continue
            for start in range(box + 1, end, BLOCK):
                count = min(BLOCK, end - start)
                iou, following = view(scratch, 0, count), view(kept, start, count)
                overlaps(view(boxes, 4 * box, 4), coordinates, start, start + count, iou)
                for i in range(count):
                    following[i] = 0 if iou[i] > iou_threshold else following[i]


def nms(boxes: Array, scores: Array, iou_threshold: float, groups: Array | None = None) -> Array:
    """See `npswin.ops.nms`."""
    order = falling_order(scores)
    by_group, starts = np.arange(len(order)), np.array([0, len(order)])
    if groups is not None:
        in_order = groups[order]
        by_group = np.argsort(in_order, kind="stable")
        changes = np.flatnonzero(np.diff(in_order[by_group])) + 1
        starts = np.array([0, *changes, len(order)])
    sorted_boxes = boxes[order[by_group]]
    kept = np.ones(len(order), np.uint8)
    args = flat(sorted_boxes), flat(np.ascontiguousarray(sorted_boxes.T)), starts, boxes.dtype.type(iou_threshold), kept
    run_parallel(_keep, len(starts) - 1 if len(order) else 0, BLOCK, boxes.dtype, *args)
    kept_in_order = np.empty(len(order), bool)
    kept_in_order[by_group] = kept.view(bool)
    return order[kept_in_order]
