"""`sigmoid_cross_entropy`: one pass over the logits, in blocks."""

from typing import Any

from npswin.backends.cpu.machine.arrays import BLOCK
from npswin.backends.cpu.machine.compilation import kernel
from npswin.backends.cpu.simd.elementary_functions import exp, log_one_plus
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
            positive = x[i] if x[i] > 0 else number(0)
            total += weight * (positive + log_one_plus(exp(-abs(x[i]))) - targets[i] * x[i])
        sums[block] = total


@kernel
def _backward(first: int, stop: int, part: int, scratch: Array, terms: Terms, factor: float, dx: Array) -> None:
    x, targets, weights = terms
    number = x.dtype.type
    for i in range(first * BLOCK, min(stop * BLOCK, x.size)):
        weight = weights[i] if weights.size else number(1)
        small = exp(-abs(x[i]))
        sigmoid = (number(1) if x[i] > 0 else small) / (number(1) + small)
        dx[i] = (sigmoid - targets[i]) * (weight * factor)


def sigmoid_cross_entropy_forward(
    logits: Array, targets: Array, weights: Array | None = None, divisor: float | None = None
) -> tuple[Any, Any]:
    """See `npswin.ops.sigmoid_cross_entropy_forward`."""
    return weighted_sum(_forward, logits, targets, weights, divisor)


def sigmoid_cross_entropy_backward(dloss: Any, cache: Any) -> Array:
    """See `npswin.ops.sigmoid_cross_entropy_backward`."""
    return derivatives(_backward, dloss, cache)
