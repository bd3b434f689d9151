"""`box_iou`; the kernel is in `kernels/boxes.cu`."""

from typing import Any

from npswin.backends.cuda.runtime.launch import blocks, launch
from npswin.devices import cupy


def box_iou(a: Any, b: Any) -> Any:
    """See `npswin.ops.box_iou`."""
    cp = cupy()
    iou = cp.empty((len(a), len(b)), a.dtype)
    args = cp.ascontiguousarray(a), cp.ascontiguousarray(b), iou, iou.size, len(b)
    launch("boxes", "box_iou", a.dtype, blocks(iou.size), args)
    return iou
