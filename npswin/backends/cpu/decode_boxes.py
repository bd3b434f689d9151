"""`decode_boxes` and `encode_boxes`: a box at a time."""

import math
from typing import Any

import numpy as np

from npswin.backends.cpu.machine.arrays import flat
from npswin.backends.cpu.machine.compilation import kernel
from npswin.backends.cpu.machine.memory import pooled_empty
from npswin.backends.cpu.machine.threads import run_parallel
from npswin.ops.decode_boxes import LARGEST_LOG_RATIO
from npswin.types import Array


@kernel
def _decode(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    deltas: Array,
    boxes: Array,
    deviations: Array,
    decoded: Array,
    sides: Array,
) -> None:
    """`sides` are those of a box, and those that it gets, 0 where they are limited."""
    number = deltas.dtype.type
    limit, half = number(LARGEST_LOG_RATIO), number(0.5)
    for box in range(first, stop):
        for low in range(4 * box, 4 * box + 2):
            high, axis = low + 2, low % 4
            side = boxes[high] - boxes[low]
            ratio = deltas[high] * deviations[axis + 2]
            limited = min(max(ratio, -limit), limit) if ratio == ratio else ratio
            new_side = side * number(math.exp(limited))
            centre = half * (boxes[low] + boxes[high]) + side * (deltas[low] * deviations[axis])
            decoded[low], decoded[high] = centre - half * new_side, centre + half * new_side
            sides[low], sides[high] = side, number(0) if abs(ratio) > limit else new_side


@kernel
def _decode_backward(
    first: int, stop: int, part: int, scratch: Array, dy: Array, sides: Array, deviations: Array, ddeltas: Array
) -> None:
    half = dy.dtype.type(0.5)
    for box in range(first, stop):
        for low in range(4 * box, 4 * box + 2):
            high, axis = low + 2, low % 4
            ddeltas[low] = (dy[low] + dy[high]) * sides[low] * deviations[axis]
            ddeltas[high] = half * (dy[high] - dy[low]) * sides[high] * deviations[axis + 2]


@kernel
def _encode(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    boxes: Array,
    targets: Array,
    deviations: Array,
    deltas: Array,
) -> None:
    number = boxes.dtype.type
    half = number(0.5)
    for box in range(first, stop):
        for low in range(4 * box, 4 * box + 2):
            high, axis = low + 2, low % 4
            side = boxes[high] - boxes[low]
            move = half * (targets[low] + targets[high]) - half * (boxes[low] + boxes[high])
            deltas[low] = move / side / deviations[axis]
            deltas[high] = number(np.log((targets[high] - targets[low]) / side)) / deviations[axis + 2]


def decode_boxes_forward(
    deltas: Array, boxes: Array, deviations: tuple[float, float, float, float]
) -> tuple[Array, Any]:
    """See `npswin.ops.decode_boxes_forward`."""
    decoded, sides = (pooled_empty(deltas.shape, deltas.dtype) for _ in range(2))
    scale = np.asarray(deviations, deltas.dtype)
    args = flat(deltas), flat(boxes), scale, decoded.reshape(-1), sides.reshape(-1)
    run_parallel(_decode, len(deltas), 0, deltas.dtype, *args)
    return decoded, (sides, scale)


def decode_boxes_backward(dy: Array, cache: Any) -> Array:
    """See `npswin.ops.decode_boxes_backward`."""
    sides, scale = cache
    ddeltas = pooled_empty(dy.shape, dy.dtype)
    run_parallel(_decode_backward, len(dy), 0, dy.dtype, flat(dy), sides.reshape(-1), scale, ddeltas.reshape(-1))
    return ddeltas


def encode_boxes(boxes: Array, targets: Array, deviations: tuple[float, float, float, float]) -> Array:
    """See `npswin.ops.encode_boxes`."""
    deltas = pooled_empty(boxes.shape, boxes.dtype)
    scale = np.asarray(deviations, boxes.dtype)
    run_parallel(_encode, len(boxes), 0, boxes.dtype, flat(boxes), flat(targets), scale, deltas.reshape(-1))
    return deltas
