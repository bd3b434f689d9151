"""`smooth_l1_loss`: one pass over the entries, in blocks."""

from typing import Any

from npswin.backends.cpu.machine.arrays import BLOCK
from npswin.backends.cpu.machine.compilation import kernel
from npswin.backends.cpu.weighted_loss import Terms, derivatives, weighted_sum
from npswin.types import Array


@kernel
def _forward(first: int, stop: int, part: int, scratch: Array, terms: Terms, beta: float, sums: Array) -> None:
    x, targets, weights = terms
    number = x.dtype.type
    half = number(0.5)
    for block in range(first, stop):
        total = number(0)
        for i in range(block * BLOCK, min((block + 1) * BLOCK, x.size)):
            weight = weights[i] if weights.size else number(1)
            size = abs(x[i] - targets[i])
            total += weight * (half * size * (size / beta) if size < beta else size - half * beta)
        sums[block] = total


@kernel
def _backward(
    first: int, stop: int, part: int, scratch: Array, terms: Terms, beta: float, factor: float, dx: Array
) -> None:
    x, targets, weights = terms
    number = x.dtype.type
    for i in range(first * BLOCK, min(stop * BLOCK, x.size)):
        weight = weights[i] if weights.size else number(1)
        slope = (x[i] - targets[i]) / beta
        slope = number(1) if slope >= 1 else number(-1) if slope <= -1 else slope
        dx[i] = slope * (weight * factor)


def smooth_l1_loss_forward(
    x: Array, targets: Array, weights: Array | None = None, divisor: float | None = None, beta: float = 1.0
) -> tuple[Any, Any]:
    """See `npswin.ops.smooth_l1_loss_forward`."""
    width = x.dtype.type(beta)
    loss, cache = weighted_sum(_forward, x, targets, weights, divisor, width)
    return loss, (width, cache)


def smooth_l1_loss_backward(dloss: Any, cache: Any) -> Array:
    """See `npswin.ops.smooth_l1_loss_backward`."""
    width, cache = cache
    return derivatives(_backward, dloss, cache, width)
