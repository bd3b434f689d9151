"""`decode_boxes` and `encode_boxes`; the kernels are in `kernels/boxes.cu`."""

from typing import Any

from npswin.backends.cuda.runtime.launch import blocks, launch
from npswin.backends.cuda.weighted_loss import in_sums
from npswin.devices import cupy
from npswin.ops.decode_boxes import LARGEST_LOG_RATIO


def decode_boxes_forward(deltas: Any, boxes: Any, deviations: tuple[float, float, float, float]) -> tuple[Any, Any]:
    """See `npswin.ops.decode_boxes_forward`."""
    cp, count = cupy(), len(deltas)
    deltas, boxes = cp.ascontiguousarray(deltas), in_sums(boxes, deltas.dtype)
    decoded, numbers = cp.empty(deltas.shape, deltas.dtype), (*deviations, LARGEST_LOG_RATIO)
    launch("boxes", "decode_boxes_forward", deltas.dtype, blocks(2 * count), (deltas, boxes, decoded, count, *numbers))
    return decoded, (deltas, boxes, numbers)


def decode_boxes_backward(dy: Any, cache: Any) -> Any:
    """See `npswin.ops.decode_boxes_backward`."""
    cp, (deltas, boxes, numbers) = cupy(), cache
    ddeltas, count = cp.empty(deltas.shape, deltas.dtype), len(deltas)
    args = cp.ascontiguousarray(dy), deltas, boxes, ddeltas, count, *numbers
    launch("boxes", "decode_boxes_backward", deltas.dtype, blocks(2 * count), args)
    return ddeltas


def encode_boxes(boxes: Any, targets: Any, deviations: tuple[float, float, float, float]) -> Any:
    """See `npswin.ops.encode_boxes`."""
    cp, count = cupy(), len(boxes)
    deltas = cp.empty(boxes.shape, boxes.dtype)
    args = cp.ascontiguousarray(boxes), cp.ascontiguousarray(targets.astype(boxes.dtype, copy=False)), deltas, count
    launch("boxes", "encode_boxes", boxes.dtype, blocks(2 * count), (*args, *deviations))
    return deltas
