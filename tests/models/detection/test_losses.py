"""The losses of both stages: their values, and their derivatives compared with central differences."""

import numpy as np
import pytest

from npswin.models.detection.losses import (
    box_head_loss_backward,
    box_head_loss_forward,
    mask_head_loss_backward,
    mask_head_loss_forward,
    rpn_loss_backward,
    rpn_loss_forward,
)
from npswin.models.detection.samples import RoISamples, RPNSamples
from tests.gradient_errors import gradcheck_and_record
from tests.ops.drawn import normal

DEVIATIONS = (0.1, 0.1, 0.2, 0.2)
TOLERANCE = 1e-7


def of_outputs(forward, backward, *arguments):
    """The sum of losses as a forward and a backward function of the outputs one by one."""

    def summed(*outputs):
        losses, cache = forward(list(outputs), *arguments)
        return np.array([sum(losses.values())]), cache

    return summed, lambda dy, cache: tuple(backward(cache, dy[0]))


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
    loss = of_outputs(box_head_loss_forward, box_head_loss_backward, roi_samples(), DEVIATIONS, kind, 1.5)
    gradcheck_and_record("box_head_loss", loss, outputs, tolerance=TOLERANCE)


def test_box_losses_are_divided_by_the_number_of_rois_and_weighted():
    samples = roi_samples()
    deltas = np.zeros((5, 1, 4))
    centres = [(box[:, :2] + box[:, 2:]) / 2 for box in (samples.rois[[0, 2, 3], 1:], samples.boxes)]
    sides = [box[:, 2:] - box[:, :2] for box in (samples.rois[[0, 2, 3], 1:], samples.boxes)]
    targets = np.concatenate([(centres[1] - centres[0]) / sides[0] / 0.1, np.log(sides[1] / sides[0]) / 0.2], axis=1)
    losses, _ = box_head_loss_forward([np.zeros((5, 4)), deltas], samples, DEVIATIONS, "l1", 2.0)
    np.testing.assert_allclose(losses["loss_bbox"], 2 * np.abs(targets).sum() / 5)
    np.testing.assert_allclose(losses["loss_cls"], np.log(4))


def test_mask_loss_is_of_the_true_class_alone():
    samples = roi_samples()
    logits, labels = normal(3, 3, 4, 4, 3), samples.labels[[0, 2, 3]]
    loss, _ = mask_head_loss_forward(logits, labels, samples.masks)
    others = logits + 100 * (np.arange(3) != labels[:, None])[:, None, None]
    np.testing.assert_array_equal(mask_head_loss_forward(others, labels, samples.masks)[0], loss)
    chosen = np.stack([logits[i, :, :, label] for i, label in enumerate(labels)])
    probability = 1 / (1 + np.exp(-chosen))
    expected = -np.where(samples.masks, np.log(probability), np.log(1 - probability)).mean()
    np.testing.assert_allclose(loss, expected)
    functions = (
        lambda x: (np.array([(pair := mask_head_loss_forward(x, labels, samples.masks))[0]]), pair[1]),
        lambda dy, cache: mask_head_loss_backward(cache, dy[0]),
    )
    gradcheck_and_record("mask_head_loss", functions, logits, tolerance=TOLERANCE)


def smooth_l1_of_a_ninth(size):
    return 4.5 * size**2 if size < 1 / 9 else size - 1 / 18


@pytest.mark.parametrize(("kind", "of_size"), [("l1", float), ("smooth_l1", smooth_l1_of_a_ninth)])
def test_rpn_loss(kind, of_size):
    samples = RPNSamples(np.array([0, 1, 1]), np.array([4, 0, 3]), np.array([True, False, True]), normal(4, 2, 4), 7)
    outputs = [normal(5, 2, 6), normal(6, 2, 6, 4)]
    outputs[1][0, 4, :3] = samples.deltas[0, :3] + (0.05, -0.1, 0.12)  # on both sides of 1/9
    loss = of_outputs(rpn_loss_forward, rpn_loss_backward, samples, kind)
    gradcheck_and_record("rpn_loss", loss, outputs, tolerance=TOLERANCE)
    losses, _ = rpn_loss_forward(outputs, samples, kind)
    x = outputs[0][[0, 1, 1], [4, 0, 3]]
    np.testing.assert_allclose(losses["loss_rpn_cls"], (np.log1p(np.exp(x)) - x * [1, 0, 1]).sum() / 7)
    sizes = np.abs(outputs[1][[0, 1], [4, 3]] - samples.deltas).flatten()
    np.testing.assert_allclose(losses["loss_rpn_bbox"], sum(map(of_size, sizes)) / 7)


@pytest.mark.parametrize("kind", ["l1", "smooth_l1"])
def test_rpn_loss_without_samples_is_zero(kind):
    none = np.zeros(0, np.int64)
    outputs = [normal(5, 2, 6), normal(6, 2, 6, 4)]
    losses, cache = rpn_loss_forward(outputs, RPNSamples(none, none, none.astype(bool), np.zeros((0, 4)), 4), kind)
    assert losses == {"loss_rpn_cls": 0, "loss_rpn_bbox": 0}
    assert not any(derivative.any() for derivative in rpn_loss_backward(cache))
