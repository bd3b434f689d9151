"""What comes after the last block: the mean over the map, and the loss."""

import math
from typing import Any

import numpy as np

from npswin.backends.cpu.arrays import flat, flat_derivative
from npswin.backends.cpu.functions import exp
from npswin.backends.cpu.jit import kernel, view
from npswin.backends.cpu.memory import empty
from npswin.backends.cpu.threads import run_parallel
from npswin.types import Array


@kernel
def _mean_pool(
    first: int, stop: int, part: int, scratch: Array, x: Array, y: Array, places: int, channels: int
) -> None:
    number = x.dtype.type
    for image in range(first, stop):
        out = view(y, image * channels, channels)
        out[:] = number(0)
        for place in range(places):
            token = view(x, (image * places + place) * channels, channels)
            for c in range(channels):
                out[c] += token[c]
        for c in range(channels):
            out[c] /= number(places)


@kernel
def _mean_pool_backward(
    first: int, stop: int, part: int, scratch: Array, dy: Array, dx: Array, places: int, channels: int
) -> None:
    number = dy.dtype.type
    for image in range(first, stop):
        up = view(dy, image * channels, channels)
        for place in range(places):
            token = view(dx, (image * places + place) * channels, channels)
            for c in range(channels):
                token[c] = up[c] / number(places)


def mean_pool_forward(x: Array) -> tuple[Array, Any]:
    """See `npswin.ops.mean_pool_forward`."""
    batch, height, width, channels = x.shape
    y = empty((batch, channels), x.dtype)
    run_parallel(_mean_pool, batch, 0, x.dtype, flat(x), y.reshape(-1), height * width, channels)
    return y, x.shape


def mean_pool_backward(dy: Array, cache: Any) -> Array:
    """See `npswin.ops.mean_pool_backward`."""
    batch, height, width, channels = cache
    dx, dy = empty(cache, dy.dtype), flat_derivative(dy, batch * channels, dy.dtype)
    run_parallel(_mean_pool_backward, batch, 0, dy.dtype, dy, dx.reshape(-1), height * width, channels)
    return dx


@kernel
def _cross_entropy(
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
            out[k] = x[k] - largest  # stored, so that it is not put together with the next subtraction
        for k in range(classes):
            total += exp(out[k])
        log_total = number(math.log(total))
        for k in range(classes):
            out[k] -= log_total
        for k in range(classes):
            loss -= t[k] * out[k]
        losses[row] = loss


@kernel
def _cross_entropy_backward(
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
    log_p, losses = empty(logits.shape, logits.dtype), empty(len(logits), logits.dtype)
    if targets.shape != logits.shape:
        raise ValueError(f"targets: got shape {targets.shape}, expected that of the logits, {logits.shape}")
    targets = flat(np.asarray(targets, logits.dtype))
    run_parallel(
        *(_cross_entropy, len(logits), 0, logits.dtype),
        *(flat(logits), targets, log_p.reshape(-1), losses),
    )
    return losses.sum() / logits.dtype.type(len(logits)), (log_p, targets)


def cross_entropy_backward(dloss: Any, cache: Any) -> Array:
    """See `npswin.ops.cross_entropy_backward`."""
    log_p, targets = cache
    dlogits, number = empty(log_p.shape, log_p.dtype), log_p.dtype.type
    run_parallel(
        *(_cross_entropy_backward, len(log_p), 0, log_p.dtype, log_p.reshape(-1), targets),
        *(dlogits.reshape(-1), log_p.shape[1], number(dloss) / number(len(log_p))),
    )
    return dlogits
