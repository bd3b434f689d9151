"""`nms`: all overlaps at once, a bit each; then one block goes through the boxes. Kernels: `kernels/boxes.cu`.

The number of kept boxes is read from the GPU, so a program waits here, and a recording refuses it.
"""

from typing import Any

import numpy as np

from npswin.backends.cuda.runtime.launch import blocks, launch
from npswin.devices import cupy
from npswin.ops.nms import falling_order

_WORD = 64  # boxes


def nms(boxes: Any, scores: Any, iou_threshold: float, groups: Any = None) -> Any:
    """See `npswin.ops.nms`."""
    cp, count = cupy(), len(boxes)
    order = falling_order(scores)
    words = -(-count // _WORD)
    if groups is not None:
        groups = cp.ascontiguousarray(groups.astype(np.int64)[order])
    suppressed, kept = cp.empty((count, words), np.uint64), cp.empty(count, np.uint8)
    args = cp.ascontiguousarray(boxes[order]), groups, suppressed, count, iou_threshold
    launch("boxes", "nms_suppressions", boxes.dtype, blocks(count * words), args)
    launch("boxes", "nms_keep", boxes.dtype, (1,), (suppressed, kept, count), shared=words * suppressed.itemsize)
    return order[kept.astype(bool)]
