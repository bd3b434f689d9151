"""The loss of generalized IoU (Rezatofighi et al. 2019, algorithm 1)."""

from typing import Any

import numpy as np

from npswin.ops.arguments import number, or_none
from npswin.ops.description import op
from npswin.ops.weighted_loss import weighted_mean
from npswin.types import Array

LEAST_AREA = 1e-6  # square pixels; without it boxes of no area would divide by 0


def _at_least(x: Array, least: float) -> Array:
    """max(x, least) by real parts; NaN stays NaN."""
    return np.where(x.real < least, x.dtype.type(least), x)


@op(boxes="n 4", targets="n 4", weights="n", divisor=or_none(number(above=0, in_arrays_dtype=True)))
def giou_loss_forward(
    boxes: Array, targets: Array, weights: Array | None = None, divisor: float | None = None
) -> tuple[Any, Any]:
    """L = (1/d) Σ w (1 − GIoU), with GIoU = I/U − (E − U)/E.

    I is the area in which a box and its target overlap, U = A + T − I that of their union, where A and T are their own
    areas, and E that of the smallest box around both; U and E count as 10⁻⁶ square pixels at least. A term is in
    [0, 2): 0 where the two boxes are the same, above 1 where they are apart.

    Args:
        boxes: (n, 4), x₁, y₁, x₂, y₂ with x₁ ≤ x₂ and y₁ ≤ y₂, in pixels.
        targets: (n, 4), of the same kind.
        weights: w (n,), or None for 1.
        divisor: d, or None for n, at least 1.

    Returns:
        the loss, a scalar of the boxes' dtype, and the cache for the backward pass.

    Test: tests/ops/test_gradients.py::test_giou_loss
    """
    low, high, target_low, target_high = boxes[:, :2], boxes[:, 2:], targets[:, :2], targets[:, 2:]
    low_is_inner, high_is_inner = low.real >= target_low.real, high.real <= target_high.real
    inner = np.where(high_is_inner, high, target_high) - np.where(low_is_inner, low, target_low)
    outer = np.where(high_is_inner, target_high, high) - np.where(low_is_inner, target_low, low)
    own, inner = high - low, _at_least(inner, 0)

    intersection, target_area = inner.prod(axis=1), (target_high - target_low).prod(axis=1)
    union = _at_least(own.prod(axis=1) + target_area - intersection, LEAST_AREA)
    enclosing = _at_least(outer.prod(axis=1), LEAST_AREA)
    loss, dlosses = weighted_mean(2 - intersection / union - union / enclosing, weights, divisor)
    return loss, (own, inner, outer, low_is_inner, high_is_inner, intersection, union, enclosing, dlosses)


def giou_loss_backward(dloss: Any, cache: Any) -> Array:
    """A term is l = 2 − I/U − U/E, with U = A + T − I. Its derivatives by the areas are

        ∂l/∂A = I/U² − 1/E        ∂l/∂I = −1/U − ∂l/∂A        ∂l/∂E = U/E²

    An area is a product of two sides, so its derivative by one is the other side; a side grows with its upper end and
    shrinks with its lower one. Each end of the box is an end of A, and besides one of I, where it lies within the
    target's, or one of E, where it lies beyond. Boxes that do not overlap have a side of I that is 0, and so have no
    derivative by I but that of U. Where two ends are equal, which is a kink, the derivative is that from within.

    Args:
        dloss: scalar, 1 for the loss itself.

    Returns:
        dboxes (n, 4).
    """
    own, inner, outer, low_is_inner, high_is_inner, intersection, union, enclosing, dlosses = cache
    scale = own.dtype.type(dloss) * dlosses
    dunion = np.where(union.real > LEAST_AREA, intersection / union**2 - 1 / enclosing, 0)
    dintersection = (-1 / union - dunion) * scale
    denclosing = np.where(enclosing.real > LEAST_AREA, union / enclosing**2, 0) * scale

    down = (dunion * scale)[:, None] * own[:, ::-1]
    dinner = dintersection[:, None] * np.where(inner.real > 0, inner[:, ::-1], 0)
    douter = denclosing[:, None] * outer[:, ::-1]
    dlow = -down - np.where(low_is_inner, dinner, douter)
    dhigh = down + np.where(high_is_inner, dinner, douter)
    return np.concatenate([dlow, dhigh], axis=1)
