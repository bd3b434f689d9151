"""`giou_loss`: a box at a time; the backward pass computes the areas again."""

from typing import Any

from npswin.backends.cpu.machine.arrays import BLOCK
from npswin.backends.cpu.machine.compilation import inner_function, kernel
from npswin.backends.cpu.weighted_loss import Terms, derivatives, weighted_sum
from npswin.ops.giou_loss import LEAST_AREA
from npswin.types import Array


@inner_function
def _sides(low: float, high: float, target_low: float, target_high: float) -> tuple[float, float, float, float]:
    """Along one axis: of the box, of its target, of their intersection, and of the smallest box around both."""
    inner = (high if high <= target_high else target_high) - (low if low >= target_low else target_low)
    outer = (target_high if high <= target_high else high) - (target_low if low >= target_low else low)
    return high - low, target_high - target_low, inner if not inner < 0 else inner - inner, outer


@inner_function
def _at_least(area: float, least: float) -> float:
    return least if area < least else area


@kernel
def _forward(first: int, stop: int, part: int, scratch: Array, terms: Terms, sums: Array) -> None:
    boxes, targets, weights = terms
    number = boxes.dtype.type
    for block in range(first, stop):
        total = number(0)
        for box in range(block * BLOCK // 4, min((block + 1) * BLOCK, boxes.size) // 4):
            i = 4 * box
            wide, target_wide, inner_wide, outer_wide = _sides(boxes[i], boxes[i + 2], targets[i], targets[i + 2])
            high, target_high, inner_high, outer_high = _sides(
                boxes[i + 1], boxes[i + 3], targets[i + 1], targets[i + 3]
            )
            common = inner_wide * inner_high
            union = _at_least(wide * high + target_wide * target_high - common, number(LEAST_AREA))
            around = _at_least(outer_wide * outer_high, number(LEAST_AREA))
            weight = weights[box] if weights.size else number(1)
            total += weight * (number(2) - common / union - union / around)
        sums[block] = total


@kernel
def _backward(first: int, stop: int, part: int, scratch: Array, terms: Terms, factor: float, dboxes: Array) -> None:
    boxes, targets, weights = terms
    number = boxes.dtype.type
    zero, least = number(0), number(LEAST_AREA)
    for box in range(first * BLOCK // 4, min(stop * BLOCK, boxes.size) // 4):
        i = 4 * box
        wide, target_wide, inner_wide, outer_wide = _sides(boxes[i], boxes[i + 2], targets[i], targets[i + 2])
        high, target_high, inner_high, outer_high = _sides(boxes[i + 1], boxes[i + 3], targets[i + 1], targets[i + 3])
        common = inner_wide * inner_high
        union = _at_least(wide * high + target_wide * target_high - common, least)
        around = _at_least(outer_wide * outer_high, least)
        scale = factor * weights[box] if weights.size else factor
        dunion = common / (union * union) - number(1) / around if union > least else zero
        dcommon = (number(-1) / union - dunion) * scale
        daround = union / (around * around) * scale if around > least else zero
        dunion *= scale
        for axis in range(2):
            own, inner, outer = (high, inner_high, outer_high) if axis == 0 else (wide, inner_wide, outer_wide)
            own_inner = inner_wide if axis == 0 else inner_high
            dinner = dcommon * (inner if own_inner > 0 else zero)
            is_inner = boxes[i + axis] >= targets[i + axis]
            dboxes[i + axis] = -dunion * own - (dinner if is_inner else daround * outer)
            is_inner = boxes[i + 2 + axis] <= targets[i + 2 + axis]
            dboxes[i + 2 + axis] = dunion * own + (dinner if is_inner else daround * outer)


def giou_loss_forward(
    boxes: Array, targets: Array, weights: Array | None = None, divisor: float | None = None
) -> tuple[Any, Any]:
    """See `npswin.ops.giou_loss_forward`."""
    return weighted_sum(_forward, boxes, targets, weights, max(len(boxes), 1) if divisor is None else divisor)


def giou_loss_backward(dloss: Any, cache: Any) -> Array:
    """See `npswin.ops.giou_loss_backward`."""
    return derivatives(_backward, dloss, cache)
