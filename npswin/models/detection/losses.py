"""The losses of both stages, and their derivatives by what the heads predict."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from npswin.backends import dispatch
from npswin.devices import to_device_of
from npswin.models.detection.boxes import Deviations, box_dtype
from npswin.models.detection.samples import RoISamples, RPNSamples
from npswin.types import Array

RPN_BETA, BOX_BETA = 1 / 9, 1.0  # from where the smooth L1 losses of the two stages are linear, as in mmdetection


def rpn_loss_forward(outputs: Sequence[Array], samples: RPNSamples, kind: str) -> tuple[dict[str, Any], Any]:
    """Of the region proposal network: L = (1/d) (Σ bce(objectness, is object) + Σ l(deltas − targets)).

    The first sum is over all sampled anchors, the second over the positive ones (Ren et al. 2015, equation 1, with one
    divisor d for both as mmdetection has it). The box loss l(z) is |z| ("l1"), or the smooth L1 loss with β = 1/9
    ("smooth_l1").

    Args:
        outputs: objectness (B, N) and deltas (B, N, 4).
        samples: the sampled anchors.
        kind: of the box loss.

    Returns:
        "loss_rpn_cls" and "loss_rpn_bbox", the two terms; and the cache for the backward pass.
    """
    objectness, deltas = outputs
    sampled = to_device_of(samples.images, objectness), to_device_of(samples.anchors, objectness)
    positive = to_device_of(np.flatnonzero(samples.is_object), objectness)
    positive_places = sampled[0][positive], sampled[1][positive]
    is_object, targets = _like(samples.is_object, objectness), _like(samples.deltas, deltas)
    cls_loss, cls_cache = dispatch.sigmoid_cross_entropy_forward(objectness[sampled], is_object, None, samples.divisor)
    box_loss, box_cache = _delta_loss_forward(kind, deltas[positive_places], targets, samples.divisor, RPN_BETA)
    cache = (objectness, sampled, cls_loss, cls_cache), (deltas, positive_places, kind, box_loss, box_cache)
    return {"loss_rpn_cls": cls_loss, "loss_rpn_bbox": box_loss}, cache


def rpn_loss_backward(cache: Any, scale: Any = 1.0) -> list[Array]:
    """The derivatives by objectness (B, N) and deltas (B, N, 4): 0 for anchors that were not sampled.

    Args:
        scale: factor on them.
    """
    (objectness, sampled, cls_loss, cls_cache), (deltas, positive_places, kind, box_loss, box_cache) = cache
    dsampled = dispatch.sigmoid_cross_entropy_backward(np.full_like(cls_loss, scale), cls_cache)
    dpositive = _delta_loss_backward(kind, np.full_like(box_loss, scale), box_cache)
    return [_scattered(dsampled, sampled, objectness), _scattered(dpositive, positive_places, deltas)]


def box_head_loss_forward(
    outputs: Sequence[Array], samples: RoISamples, deviations: Deviations, kind: str, weight: float = 1.0
) -> tuple[dict[str, Any], Any]:
    """Of a box head: the mean cross-entropy over the R RoIs, and the box loss of the positive ones, divided by R.

    The box loss compares the deltas of the true class with those that lead to the true box ("l1", "smooth_l1"), or the
    decoded box with the true box itself ("giou").

    Args:
        outputs: logits (R, K + 1) and deltas (R, K or 1, 4).
        samples: the RoIs.
        deviations: of the deltas.
        kind: of the box loss.
        weight: of the box loss.

    Returns:
        "loss_cls" and "loss_bbox"; and the cache for the backward pass.
    """
    logits, deltas = outputs
    background, count = logits.shape[1] - 1, len(logits)
    labels = to_device_of(samples.labels, logits)
    cls_loss, cls_cache = dispatch.pixel_cross_entropy_forward(logits, labels, None, background + 1, count)

    positive = np.flatnonzero(samples.labels < background)
    classes = samples.labels[positive] if deltas.shape[1] > 1 else np.zeros_like(positive)
    places = to_device_of(positive, deltas), to_device_of(classes, deltas)
    rois, boxes = _like(samples.rois[positive, 1:], deltas), _like(samples.boxes, deltas)
    decode_cache = None
    if kind == "giou":
        decoded, decode_cache = dispatch.decode_boxes_forward(deltas[places], rois, deviations)
        box_loss, box_cache = dispatch.giou_loss_forward(decoded, boxes, None, count)
    else:
        targets = dispatch.encode_boxes(rois, boxes, deviations)
        box_loss, box_cache = _delta_loss_forward(kind, deltas[places], targets, count, BOX_BETA)
    cache = (cls_loss, cls_cache), (deltas, places, kind, weight, decode_cache, box_loss, box_cache)
    return {"loss_cls": cls_loss, "loss_bbox": weight * box_loss}, cache


def box_head_loss_backward(cache: Any, scale: Any = 1.0) -> list[Array]:
    """The derivatives by logits (R, K + 1) and deltas (R, K or 1, 4): 0 for deltas of other classes than the true one.

    Args:
        scale: factor on them.
    """
    (cls_loss, cls_cache), (deltas, places, kind, weight, decode_cache, box_loss, box_cache) = cache
    dlogits = dispatch.pixel_cross_entropy_backward(np.full_like(cls_loss, scale), cls_cache)
    dbox_loss = np.full_like(box_loss, scale * weight)
    if kind == "giou":
        dboxes = dispatch.giou_loss_backward(dbox_loss, box_cache)
        dchosen = dispatch.decode_boxes_backward(dboxes, decode_cache)
    else:
        dchosen = _delta_loss_backward(kind, dbox_loss, box_cache)
    return [dlogits, _scattered(dchosen, places, deltas)]


def mask_head_loss_forward(logits: Array, labels: Array, masks: Array) -> tuple[Any, Any]:
    """The mean binary cross-entropy of the true class's map: classes do not compete (He et al. 2017, section 3).

    Args:
        logits: (P, M, M, K), of the positive RoIs.
        labels: (P,), their classes.
        masks: (P, M, M), 1 where the object is, 0 elsewhere.

    Returns:
        The loss, and the cache for the backward pass.
    """
    rois = to_device_of(np.arange(len(logits)), logits)
    places = rois, slice(None), slice(None), to_device_of(labels, logits)
    loss, loss_cache = dispatch.sigmoid_cross_entropy_forward(logits[places], _like(masks, logits))
    return loss, (logits, places, loss, loss_cache)


def mask_head_loss_backward(cache: Any, scale: Any = 1.0) -> Array:
    """The derivative by the logits (P, M, M, K): 0 for other classes than the true one.

    Args:
        scale: factor on it.
    """
    logits, places, loss, loss_cache = cache
    dchosen = dispatch.sigmoid_cross_entropy_backward(np.full_like(loss, scale), loss_cache)
    return _scattered(dchosen, places, logits)


def _delta_loss_forward(kind: str, deltas: Array, targets: Array, divisor: int, beta: float) -> tuple[Any, Any]:
    """The loss "l1" or "smooth_l1" of deltas, and the cache for `_delta_loss_backward`."""
    if kind == "l1":
        return dispatch.l1_loss_forward(deltas, targets, None, divisor)
    return dispatch.smooth_l1_loss_forward(deltas, targets, None, divisor, beta)


def _delta_loss_backward(kind: str, dloss: Any, cache: Any) -> Array:
    backward = dispatch.l1_loss_backward if kind == "l1" else dispatch.smooth_l1_loss_backward
    return backward(dloss, cache)


def _like(targets: Array, x: Array) -> Array:
    """Targets on the device of a map, in its precision."""
    return to_device_of(targets.astype(box_dtype(x)), x).astype(x.dtype, copy=False)


def _scattered(values: Array, places: Any, like: Array) -> Array:
    """Zeros, but for these values at these places, each of which occurs once."""
    x = np.zeros_like(like)
    x[places] = values
    return x
