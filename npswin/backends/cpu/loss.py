"""`cross_entropy`: a row of logits at a time."""

import math
from typing import Any

from npswin.backends.cpu.machine.arrays import flat
from npswin.backends.cpu.machine.compilation import kernel
from npswin.backends.cpu.machine.flat_array import view
from npswin.backends.cpu.machine.memory import pooled_empty
from npswin.backends.cpu.machine.threads import run_parallel
from npswin.backends.cpu.simd.elementary_functions import exp
from npswin.types import Array


@kernel
def _forward(
    first: int, stop: int, part: int, scratch: Array, logits: Array, targets: Array, log_p: Array, losses: Array
) -> None:
    number = logits.dtype.type
    classes = logits.size // losses.size
    for row in range(first, stop):
        x, out = view(logits, row * classes, classes), view(log_p, row * classes, classes)
        t = view(targets, row * classes, classes)
        largest, total, loss = x[0], number(0), number(0)
        for k in range(classes):
            largest = x[k] if x[k] > largest else largest
        for k in range(classes):
            out[k] = x[k] - largest  # stored, so that the compiler does not merge it with the next subtraction
        for k in range(classes):
            total += exp(out[k])
        log_total = number(math.log(total))
        for k in range(classes):
            out[k] -= log_total
        for k in range(classes):
            loss -= t[k] * out[k]
        losses[row] = loss


@kernel
def _backward(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    log_p: Array,
    targets: Array,
    dlogits: Array,
    classes: int,
    factor: float,
) -> None:
    number = log_p.dtype.type
    for row in range(first, stop):
        source, out = view(log_p, row * classes, classes), view(dlogits, row * classes, classes)
        t, total = view(targets, row * classes, classes), number(0)
        for k in range(classes):
            total += t[k]
        for k in range(classes):
            out[k] = (exp(source[k]) * total - t[k]) * factor


def cross_entropy_forward(logits: Array, targets: Array) -> tuple[Any, Any]:
    """See `npswin.ops.cross_entropy_forward`."""
    log_p, losses = pooled_empty(logits.shape, logits.dtype), pooled_empty(len(logits), logits.dtype)
    targets = flat(targets)
    run_parallel(
        *(_forward, len(logits), 0, logits.dtype),
        *(flat(logits), targets, log_p.reshape(-1), losses),
    )
    return losses.sum() / logits.dtype.type(len(logits)), (log_p, targets)


def cross_entropy_backward(dloss: Any, cache: Any) -> Array:
    """See `npswin.ops.cross_entropy_backward`."""
    log_p, targets = cache
    dlogits, number = pooled_empty(log_p.shape, log_p.dtype), log_p.dtype.type
    run_parallel(
        *(_backward, len(log_p), 0, log_p.dtype, log_p.reshape(-1), targets),
        *(dlogits.reshape(-1), log_p.shape[1], number(dloss) / number(len(log_p))),
    )
    return dlogits
