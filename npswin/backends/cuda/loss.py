"""`cross_entropy`."""

from typing import Any

from npswin.backends.cuda.runtime.launch import blocks, launch, sum_dtype
from npswin.devices import cupy, to_gpu

_ROWS = 8  # of a block: a warp each


def cross_entropy_forward(logits: Any, targets: Any) -> tuple[Any, Any]:
    """See `npswin.ops.cross_entropy_forward`; the loss stays on the GPU."""
    cp, (rows, classes) = cupy(), logits.shape
    sums = sum_dtype(logits.dtype)
    targets = cp.ascontiguousarray(targets.astype(sums, copy=False))
    log_p, losses = cp.empty((rows, classes), sums), cp.empty(rows, sums)
    args = cp.ascontiguousarray(logits), targets, log_p, losses, rows, classes
    launch("loss", "cross_entropy_forward", logits.dtype, blocks(rows, _ROWS), args)
    return losses.mean(), (log_p, targets, logits.dtype)


def cross_entropy_backward(dloss: Any, cache: Any) -> Any:
    """See `npswin.ops.cross_entropy_backward`."""
    log_p, targets, dtype = cache
    rows, classes = log_p.shape
    dlogits = cupy().empty(log_p.shape, dtype)
    args = log_p, targets, to_gpu(dloss).astype(log_p.dtype), dlogits, rows, classes
    launch("loss", "cross_entropy_backward", dtype, blocks(rows, _ROWS), args)
    return dlogits
