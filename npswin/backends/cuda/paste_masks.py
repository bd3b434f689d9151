"""`paste_masks`; the kernel is in `kernels/boxes.cu`."""

from typing import Any

import numpy as np

from npswin.backends.cuda.runtime.launch import blocks, launch
from npswin.devices import cupy


def paste_masks(masks: Any, boxes: Any, size: tuple[int, int], threshold: float = 0.5) -> Any:
    """See `npswin.ops.paste_masks`."""
    cp = cupy()
    pasted = cp.empty((len(masks), *size), np.uint8)
    args = cp.ascontiguousarray(masks), cp.ascontiguousarray(boxes.astype(np.float64)), pasted, pasted.size
    launch("boxes", "paste_masks", masks.dtype, blocks(pasted.size), (*args, *masks.shape[1:], *size, threshold))
    return pasted.view(bool)
