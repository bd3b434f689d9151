"""Boxes from deltas relative to other boxes, and back (Girshick et al. 2014, appendix C)."""

import math
from typing import Any

import numpy as np

from npswin.ops.arguments import numbers
from npswin.ops.description import op
from npswin.types import Array

LARGEST_LOG_RATIO = math.log(1000 / 16)  # of a decoded side to that of the box: beyond, exp would explode early on


def _centres_and_sides(boxes: Array) -> tuple[Array, Array]:
    low, high = boxes[:, :2], boxes[:, 2:]
    return (low + high) / 2, high - low


@op(deltas="n 4", boxes="n 4", deviations=numbers(4, above=0))
def decode_boxes_forward(
    deltas: Array, boxes: Array, deviations: tuple[float, float, float, float]
) -> tuple[Array, Any]:
    """The box that deltas (dx, dy, dw, dh), each times its deviation, make of a box (proposal or anchor).

    From its centre (c_x, c_y) and its sides (w, h), the decoded box has

        centre (c_x + w dx, c_y + h dy)        sides (w exp(dw), h exp(dh))

    with dw and dh limited to ±log(1000/16), as detectron and mmdetection do.

    Args:
        deltas: (n, 4), as a network predicts them.
        boxes: (n, 4), x₁, y₁, x₂, y₂, in pixels.
        deviations: of the deltas, by which `encode_boxes` divides them.

    Returns:
        the decoded boxes (n, 4), x₁, y₁, x₂, y₂, which may reach beyond the image, and the cache for the backward pass.

    Test: tests/ops/test_gradients.py::test_decode_boxes
    """
    scale = np.asarray(deviations, deltas.real.dtype)
    centres, sides = _centres_and_sides(boxes)
    scaled = deltas * scale
    moves, log_ratios = scaled[:, :2], scaled[:, 2:]
    is_limited = np.abs(log_ratios.real) > LARGEST_LOG_RATIO
    log_ratios = np.where(is_limited, np.sign(log_ratios.real) * LARGEST_LOG_RATIO, log_ratios).astype(scaled.dtype)
    centres, new_sides = centres + sides * moves, sides * np.exp(log_ratios)
    decoded = np.concatenate([centres - new_sides / 2, centres + new_sides / 2], axis=1)
    return decoded, (scale, sides, np.where(is_limited, 0, new_sides))


def decode_boxes_backward(dy: Array, cache: Any) -> Array:
    """With x₁ = c − s/2 and x₂ = c + s/2 the centre c gets dx₁ + dx₂ and the side s gets (dx₂ − dx₁) / 2.

    A centre moves by w (its own deviation) per unit of its delta. A side s = w exp(dw) has the derivative s by dw, or
    0 where dw is limited. The same holds along y.

    Args:
        dy: (n, 4), of the decoded boxes.

    Returns:
        ddeltas (n, 4).
    """
    scale, sides, new_sides = cache
    dlow, dhigh = dy[:, :2], dy[:, 2:]
    return np.concatenate([(dlow + dhigh) * sides, (dhigh - dlow) / 2 * new_sides], axis=1) * scale


@op(boxes="n 4", targets="n 4", deviations=numbers(4, above=0))
def encode_boxes(boxes: Array, targets: Array, deviations: tuple[float, float, float, float]) -> Array:
    """The deltas from which `decode_boxes_forward` makes the targets, where no side is limited.

    dx = (t_x − c_x) / w, dw = log(t_w / w) and the same along y, each divided by its deviation; t is the target's
    centre and its sides. Boxes or targets without area give infinity or NaN.

    Args:
        boxes: (n, 4), x₁, y₁, x₂, y₂, in pixels.
        targets: (n, 4), the true boxes that belong to them.
        deviations: of the deltas, so that they become about as large as 1.

    Returns:
        deltas (n, 4).
    """
    scale = np.asarray(deviations, boxes.real.dtype)
    centres, sides = _centres_and_sides(boxes)
    target_centres, target_sides = _centres_and_sides(targets)
    with np.errstate(all="ignore"):
        deltas = np.concatenate([(target_centres - centres) / sides, np.log(target_sides / sides)], axis=1)
        return deltas / scale
