"""`l1_loss`: one pass over the entries, in blocks."""

from typing import Any

from npswin.backends.cpu.machine.arrays import BLOCK
from npswin.backends.cpu.machine.compilation import kernel
from npswin.backends.cpu.weighted_loss import Terms, derivatives, weighted_sum
from npswin.types import Array


@kernel
def _forward(first: int, stop: int, part: int, scratch: Array, terms: Terms, sums: Array) -> None:
    x, targets, weights = terms
    number = x.dtype.type
    for block in range(first, stop):
        total = number(0)
        for i in range(block * BLOCK, min((block + 1) * BLOCK, x.size)):
            weight = weights[i] if weights.size else number(1)
            total += weight * abs(x[i] - targets[i])
        sums[block] = total


@kernel
def _backward(first: int, stop: int, part: int, scratch: Array, terms: Terms, factor: float, dx: Array) -> None:
    x, targets, weights = terms
    number = x.dtype.type
    for i in range(first * BLOCK, min(stop * BLOCK, x.size)):
        weight = weights[i] if weights.size else number(1)
        difference = x[i] - targets[i]
        sign = number(1) if difference > 0 else number(-1) if difference < 0 else difference  # 0 or NaN
        dx[i] = sign * (weight * factor)


def l1_loss_forward(
    x: Array, targets: Array, weights: Array | None = None, divisor: float | None = None
) -> tuple[Any, Any]:
    """See `npswin.ops.l1_loss_forward`."""
    return weighted_sum(_forward, x, targets, weights, divisor)


def l1_loss_backward(dloss: Any, cache: Any) -> Array:
    """See `npswin.ops.l1_loss_backward`."""
    return derivatives(_backward, dloss, cache)
