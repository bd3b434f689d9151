"""The losses of both stages, and their derivatives by what the heads predict."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from npswin.backends import dispatch
from npswin.devices import array_module, to_device_of
from npswin.models.detection.boxes import Deviations
from npswin.models.detection.samples import RoISamples, RPNSamples
from npswin.types import Array

BOX_LOSSES = ("l1", "smooth_l1", "giou")


def rpn_loss(outputs: Sequence[Array], samples: RPNSamples) -> tuple[dict[str, Any], list[Array]]:
    """Of the region proposal network: L = (1/d) (Σ bce(objectness, is object) + Σ |deltas − targets|).

    The first sum is over all sampled anchors, the second over the positive ones (Ren et al. 2015, equation 1, with one
    divisor d for both as mmdetection has it).

    Args:
        outputs: objectness (B, N) and deltas (B, N, 4).
        samples: the sampled anchors.

    Returns:
        "loss_rpn_cls" and "loss_rpn_bbox", the two terms; and the derivatives by the outputs.
    """
    objectness, deltas = outputs
    images, anchors = (to_device_of(places, objectness) for places in (samples.images, samples.anchors))
    positive = to_device_of(np.flatnonzero(samples.is_object), objectness)
    targets = to_device_of(samples.is_object.astype(objectness.real.dtype), objectness)
    where = images[positive], anchors[positive]
    target_deltas = to_device_of(samples.deltas.astype(deltas.real.dtype), deltas)
    cls_loss, cls_cache = dispatch.sigmoid_cross_entropy_forward(
        objectness[images, anchors], targets, None, samples.divisor
    )
    box_loss, box_cache = dispatch.l1_loss_forward(deltas[where], target_deltas, None, samples.divisor)
    xp = array_module(objectness)
    dobjectness, ddeltas = xp.zeros_like(objectness), xp.zeros_like(deltas)
    dobjectness[images, anchors] = dispatch.sigmoid_cross_entropy_backward(xp.ones_like(cls_loss), cls_cache)
    ddeltas[where] = dispatch.l1_loss_backward(xp.ones_like(box_loss), box_cache)
    return {"loss_rpn_cls": cls_loss, "loss_rpn_bbox": box_loss}, [dobjectness, ddeltas]


def box_head_loss(
    outputs: Sequence[Array], samples: RoISamples, deviations: Deviations, kind: str, weight: float = 1.0
) -> tuple[dict[str, Any], list[Array]]:
    """Of a box head: the mean cross-entropy over the R RoIs, and the box loss of the positive ones, divided by R.

    The box loss compares the deltas of the true class with those that lead to the true box ("l1", "smooth_l1"), or the
    decoded box with the true box itself ("giou").

    Args:
        outputs: logits (R, K + 1) and deltas (R, K or 1, 4).
        samples: the RoIs.
        deviations: of the deltas.
        kind: of the box loss, one of BOX_LOSSES.
        weight: of the box loss.

    Returns:
        "loss_cls" and "loss_bbox", and the derivatives by the outputs.
    """
    logits, deltas = outputs
    xp = array_module(logits)
    background, count = logits.shape[1] - 1, len(logits)
    labels = to_device_of(samples.labels, logits)
    cls_loss, cls_cache = dispatch.pixel_cross_entropy_forward(logits, labels, None, background + 1, count)
    dlogits = dispatch.pixel_cross_entropy_backward(xp.ones_like(cls_loss), cls_cache)

    positive = np.flatnonzero(samples.labels < background)
    rois = to_device_of(samples.rois[positive, 1:].astype(deltas.real.dtype), deltas)
    true_boxes = to_device_of(samples.boxes.astype(deltas.real.dtype), deltas)
    classes = samples.labels[positive] if deltas.shape[1] > 1 else np.zeros_like(positive)
    where = to_device_of(positive, deltas), to_device_of(classes, deltas)
    box_loss, dchosen = _box_loss(deltas[where], rois, true_boxes, deviations, kind, count, weight)
    ddeltas = xp.zeros_like(deltas)
    ddeltas[where] = dchosen
    return {"loss_cls": cls_loss, "loss_bbox": box_loss}, [dlogits, ddeltas]


def _box_loss(
    deltas: Array, rois: Array, true_boxes: Array, deviations: Deviations, kind: str, divisor: int, weight: float
) -> tuple[Any, Array]:
    """The box loss of deltas (P, 4), and its derivative."""
    if kind == "giou":
        boxes, decode_cache = dispatch.decode_boxes_forward(deltas, rois, deviations)
        loss, cache = dispatch.giou_loss_forward(boxes, true_boxes, None, divisor)
        dboxes = dispatch.giou_loss_backward(np.full_like(loss, weight), cache)
        return weight * loss, dispatch.decode_boxes_backward(dboxes, decode_cache)
    targets = dispatch.encode_boxes(rois, true_boxes, deviations)
    forward = dispatch.l1_loss_forward if kind == "l1" else dispatch.smooth_l1_loss_forward
    backward = dispatch.l1_loss_backward if kind == "l1" else dispatch.smooth_l1_loss_backward
    loss, cache = forward(deltas, targets, None, divisor)
    return weight * loss, backward(np.full_like(loss, weight), cache)


def mask_head_loss(logits: Array, labels: Array, masks: Array) -> tuple[Any, Array]:
    """The mean binary cross-entropy of the true class's map: classes do not compete (He et al. 2017, section 3).

    Args:
        logits: (P, M, M, K), of the positive RoIs.
        labels: (P,), their classes.
        masks: (P, M, M), 1 where the object is, 0 elsewhere.

    Returns:
        The loss, and its derivative by the logits.
    """
    xp = array_module(logits)
    rois, labels = xp.arange(len(logits)), to_device_of(labels, logits)
    targets = to_device_of(masks.astype(logits.real.dtype), logits)
    loss, cache = dispatch.sigmoid_cross_entropy_forward(logits[rois, :, :, labels], targets)
    dlogits = xp.zeros_like(logits)
    dlogits[rois, :, :, labels] = dispatch.sigmoid_cross_entropy_backward(xp.ones_like(loss), cache)
    return loss, dlogits
