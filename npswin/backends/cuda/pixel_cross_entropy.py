"""`pixel_cross_entropy`: the CPU does not look at labels, so one that is no class gives NaN instead of an error."""

from typing import Any

import numpy as np

from npswin.backends.cuda.runtime.launch import WARP, blocks, launch, sum_dtype
from npswin.backends.cuda.weighted_loss import in_sums
from npswin.devices import cupy, to_gpu

_ROWS = 256 // WARP  # of a block: a warp each


def pixel_cross_entropy_forward(
    logits: Any, labels: Any, weights: Any = None, ignore_index: int = 255, divisor: float | None = None
) -> tuple[Any, Any]:
    """See `npswin.ops.pixel_cross_entropy_forward`."""
    cp, classes, sums = cupy(), logits.shape[-1], sum_dtype(logits.dtype)
    logits, labels = cp.ascontiguousarray(logits), cp.ascontiguousarray(labels.astype(np.int64, copy=False))
    rows, weights = labels.size, in_sums(weights, logits.dtype)
    losses, largest, totals = (cp.empty(rows, sums) for _ in range(3))
    args = logits, labels, weights, losses, largest, totals, rows, classes, ignore_index
    launch("box_losses", "pixel_cross_entropy_forward", logits.dtype, blocks(rows, _ROWS), args)
    if divisor is None:
        divisor = (labels != ignore_index).sum().astype(sums).clip(1)
    return losses.sum() / divisor, (logits, labels, weights, largest, totals, divisor, ignore_index)


def pixel_cross_entropy_backward(dloss: Any, cache: Any) -> Any:
    """See `npswin.ops.pixel_cross_entropy_backward`."""
    logits, labels, weights, largest, totals, divisor, ignore_index = cache
    dlogits = cupy().empty(logits.shape, logits.dtype)
    factor = to_gpu(dloss).astype(sum_dtype(logits.dtype)) / divisor
    args = logits, labels, weights, largest, totals, factor, dlogits, dlogits.size, logits.shape[-1], ignore_index
    launch("box_losses", "pixel_cross_entropy_backward", logits.dtype, blocks(dlogits.size), args)
    return dlogits
