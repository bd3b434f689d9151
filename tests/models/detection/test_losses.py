"""The losses of both stages: their values, and their derivatives compared with central differences."""

import numpy as np
import pytest

from npswin.models.detection.losses import box_head_loss, mask_head_loss, rpn_loss
from npswin.models.detection.samples import RoISamples, RPNSamples
from tests.gradient_errors import gradcheck_and_record
from tests.ops.drawn import normal

DEVIATIONS = (0.1, 0.1, 0.2, 0.2)
TOLERANCE = 1e-7


def as_functions(loss, *arguments):
    """A loss and its derivatives as a forward and a backward function of the outputs."""

    def forward(*outputs):
        losses, derivatives = loss(list(outputs), *arguments)
        return np.array([sum(losses.values())]), derivatives

    return forward, lambda dy, derivatives: tuple(dy[0] * derivative for derivative in derivatives)


def roi_samples(classes=3):
    """Five RoIs, of which those of places 0, 2 and 3 have an object."""
    rng = np.random.default_rng(0)
    corners, sides = rng.uniform(0, 20, (5, 2)), rng.uniform(8, 12, (5, 2))
    rois = np.concatenate([np.zeros((5, 1)), corners, corners + sides], axis=1)
    labels = np.array([2, classes, 0, 1, classes])
    boxes = rois[labels < classes, 1:] + rng.uniform(-2, 2, (3, 4))
    return RoISamples(rois, labels, boxes, rng.integers(0, 2, (3, 4, 4)), np.zeros(5, bool))


@pytest.mark.parametrize("kind", ["l1", "smooth_l1", "giou"])
@pytest.mark.parametrize("boxes_a_roi", [1, 3])
def test_box_head_loss(kind, boxes_a_roi):
    outputs = [normal(1, 5, 4), normal(2, 5, boxes_a_roi, 4)]
    loss = as_functions(box_head_loss, roi_samples(), DEVIATIONS, kind, 1.5)
    gradcheck_and_record("box_head_loss", loss, outputs, tolerance=TOLERANCE)


def test_box_losses_are_divided_by_the_number_of_rois_and_weighted():
    samples = roi_samples()
    deltas = np.zeros((5, 1, 4))
    centres = [(box[:, :2] + box[:, 2:]) / 2 for box in (samples.rois[[0, 2, 3], 1:], samples.boxes)]
    sides = [box[:, 2:] - box[:, :2] for box in (samples.rois[[0, 2, 3], 1:], samples.boxes)]
    targets = np.concatenate([(centres[1] - centres[0]) / sides[0] / 0.1, np.log(sides[1] / sides[0]) / 0.2], axis=1)
    losses, _ = box_head_loss([np.zeros((5, 4)), deltas], samples, DEVIATIONS, "l1", 2.0)
    np.testing.assert_allclose(losses["loss_bbox"], 2 * np.abs(targets).sum() / 5)
    np.testing.assert_allclose(losses["loss_cls"], np.log(4))


def test_mask_loss_is_of_the_true_class_alone():
    samples = roi_samples()
    logits, labels = normal(3, 3, 4, 4, 3), samples.labels[[0, 2, 3]]
    loss, dlogits = mask_head_loss(logits, labels, samples.masks)
    others = logits + 100 * (np.arange(3) != labels[:, None])[:, None, None]
    np.testing.assert_array_equal(mask_head_loss(others, labels, samples.masks)[0], loss)
    chosen = np.stack([logits[i, :, :, label] for i, label in enumerate(labels)])
    probability = 1 / (1 + np.exp(-chosen))
    expected = -np.where(samples.masks, np.log(probability), np.log(1 - probability)).mean()
    np.testing.assert_allclose(loss, expected)
    gradcheck_and_record(
        "mask_head_loss",
        (lambda x: (np.array([mask_head_loss(x, labels, samples.masks)[0]]), None), lambda dy, _: dy[0] * dlogits),
        logits,
        tolerance=TOLERANCE,
    )


def test_rpn_loss():
    samples = RPNSamples(np.array([0, 1, 1]), np.array([4, 0, 3]), np.array([True, False, True]), normal(4, 2, 4), 7)
    outputs = [normal(5, 2, 6), normal(6, 2, 6, 4)]
    gradcheck_and_record("rpn_loss", as_functions(rpn_loss, samples), outputs, tolerance=TOLERANCE)
    losses, _ = rpn_loss(outputs, samples)
    x = outputs[0][[0, 1, 1], [4, 0, 3]]
    np.testing.assert_allclose(losses["loss_rpn_cls"], (np.log1p(np.exp(x)) - x * [1, 0, 1]).sum() / 7)
    np.testing.assert_allclose(losses["loss_rpn_bbox"], np.abs(outputs[1][[0, 1], [4, 3]] - samples.deltas).sum() / 7)
