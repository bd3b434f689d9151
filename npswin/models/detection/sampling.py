"""Which anchors and which proposals the two stages are trained on (Ren et al. 2015, 3.1.3; He et al. 2017, 3.1)."""

from collections.abc import Sequence

import numpy as np

from npswin.backends import dispatch
from npswin.detection import add_true_boxes, assign_boxes, mask_targets, sample_boxes
from npswin.models.detection.boxes import RPN_DEVIATIONS
from npswin.models.detection.samples import RoISamples, RPNSamples, StageRule, TrueObjects
from npswin.types import Array

POSITIVE_IOU, NEGATIVE_IOU = 0.7, 0.3  # of anchors
POSITIVE_ANCHORS, POSITIVE_PROPOSALS = 0.5, 0.25  # at most, of what is sampled


def draw_rpn_samples(
    anchors: Array, taking_part: Sequence[Array], objects: Sequence[TrueObjects], count: int, rng: np.random.Generator
) -> RPNSamples:
    """Some anchors of each image, half of them positive where there are so many.

    Args:
        anchors: (N, 4).
        taking_part: (N,) bool for each image, which anchors do.
        objects: the true ones of each image.
        count: anchors of an image.
        rng: draws them.
    """
    images, chosen, is_object, deltas = [], [], [], []
    divisor = 0
    for image, (one, of_image) in enumerate(zip(objects, taking_part, strict=True)):
        places = np.flatnonzero(of_image)
        assigned = assign_boxes(
            anchors[places],
            one.boxes,
            one.crowd,
            positive_iou=POSITIVE_IOU,
            negative_iou=NEGATIVE_IOU,
            min_positive_iou=NEGATIVE_IOU,
        )
        positive, negative = sample_boxes(assigned, count, POSITIVE_ANCHORS, rng)
        sampled = places[np.concatenate([positive, negative])]
        images.append(np.full(len(sampled), image))
        chosen.append(sampled)
        is_object.append(np.arange(len(sampled)) < len(positive))
        true_boxes = one.boxes[assigned[positive]]
        deltas.append(dispatch.encode_boxes(anchors[places[positive]], true_boxes, RPN_DEVIATIONS))
        divisor += max(len(positive), 1) + max(len(negative), 1)
    join = np.concatenate
    return RPNSamples(join(images), join(chosen), join(is_object), join(deltas), divisor)


def draw_roi_samples(
    proposals: Sequence[Array],
    objects: Sequence[TrueObjects],
    rule: StageRule,
    count: int,
    background: int,
    mask_side: int | None,
    rng: np.random.Generator,
) -> RoISamples:
    """Some proposals of each image, a quarter of them positive where there are so many; true boxes are proposals, too.

    Args:
        proposals: (n, 4) of each image.
        objects: the true ones of each image.
        rule: of the stage.
        count: proposals of an image.
        background: K, the label of proposals without an object.
        mask_side: M, pixels a side of the masks; None for no masks.
        rng: draws them.
    """
    rois, labels, boxes, masks, is_true_box = [], [], [], [], []
    for image, (of_image, one) in enumerate(zip(proposals, objects, strict=True)):
        assigned = assign_boxes(
            of_image,
            one.boxes,
            one.crowd,
            positive_iou=rule.iou_threshold,
            negative_iou=rule.iou_threshold,
            min_positive_iou=rule.iou_threshold,
            low_quality=rule.low_quality,
        )
        candidates, assigned = add_true_boxes(of_image, assigned, one.boxes, one.crowd)
        added = len(candidates) - len(of_image)
        positive, negative = sample_boxes(assigned, count, POSITIVE_PROPOSALS, rng)
        chosen, true = np.concatenate([positive, negative]), assigned[positive]
        rois.append(np.column_stack([np.full(len(chosen), image, candidates.dtype), candidates[chosen]]))
        labels.append(np.concatenate([one.labels[true], np.full(len(negative), background)]))
        boxes.append(one.boxes[true])
        if mask_side is None or one.masks is None:
            masks.append(np.zeros((len(positive), 0, 0), bool))
        else:
            masks.append(mask_targets(one.masks, candidates[positive], true, mask_side))
        is_true_box.append(chosen < added)
    return RoISamples(*(np.concatenate(parts) for parts in (rois, labels, boxes, masks, is_true_box)))
