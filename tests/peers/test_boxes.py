"""The ops on boxes and `npswin.detection` compared with PyTorch and torchvision, whose results are in a file."""

import numpy as np
import pytest

from npswin import detection, ops
from tests.peers import golden_boxes

TOLERANCE = 1e-12  # of float64


@pytest.fixture(scope="module")
def golden():
    """Inputs and the peers' results."""
    return golden_boxes.read_golden()


def assert_close(found, wanted, tolerance=TOLERANCE):
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * max(1, np.abs(wanted).max()))


@pytest.mark.parametrize("ratio", golden_boxes.RATIOS)
def test_roi_align(golden, ratio):
    given, wanted = golden
    y, cache = ops.roi_align_forward(given["x"], given["rois"], **golden_boxes.ROI_ALIGN, sampling_ratio=ratio)
    assert_close(y, wanted[f"roi_align/{ratio}/y"])
    assert_close(ops.roi_align_backward(given["dy"], cache), wanted[f"roi_align/{ratio}/dx"])


@pytest.mark.parametrize(
    ("name", "op", "arguments", "kwargs", "tolerance"),
    [
        ("sigmoid", "sigmoid_cross_entropy", ("logits", "soft", "weights"), {"divisor": 7}, TOLERANCE),
        ("pixel", "pixel_cross_entropy", ("logits", "labels"), {}, TOLERANCE),
        ("l1", "l1_loss", ("logits", "soft"), {"divisor": 7}, TOLERANCE),
        ("smooth_l1", "smooth_l1_loss", ("logits", "soft"), {"beta": golden_boxes.BETA}, TOLERANCE),
        ("giou", "giou_loss", ("boxes", "targets"), {}, 1e-8),  # torchvision adds 1e-7 to the areas
    ],
)
def test_a_loss(golden, name, op, arguments, kwargs, tolerance):
    given, wanted = golden
    loss, cache = getattr(ops, f"{op}_forward")(*(given[one] for one in arguments), **kwargs)
    assert_close(loss, wanted[f"{name}/loss"], tolerance)
    assert_close(getattr(ops, f"{op}_backward")(1.0, cache), wanted[f"{name}/dx"], tolerance)


def test_iou_and_nms(golden):
    given, wanted = golden
    assert_close(ops.box_iou(given["boxes"], given["targets"]), wanted["iou"])
    kept = ops.nms(given["boxes"], given["scores"], golden_boxes.NMS_IOU)
    np.testing.assert_array_equal(kept, wanted["nms"])
    kept = ops.nms(given["boxes"], given["scores"], golden_boxes.NMS_IOU, given["groups"])
    np.testing.assert_array_equal(kept, wanted["batched_nms"])


def test_deltas(golden):
    given, wanted = golden
    found = ops.encode_boxes(given["boxes"], given["targets"], golden_boxes.DEVIATIONS)
    assert_close(found, wanted["encoded"])
    found, _ = ops.decode_boxes_forward(given["deltas"], given["boxes"], golden_boxes.DEVIATIONS)
    assert_close(found, wanted["decoded"])


def test_anchors(golden):
    _, wanted = golden
    found = detection.grid_anchors(golden_boxes.MAP_SIZE, golden_boxes.STRIDE).reshape(-1, 3, 4)
    found = found - found[0] + np.round(found[0])  # torchvision rounds the anchors of the first place, and moves them
    np.testing.assert_array_equal(found.reshape(-1, 4), wanted["anchors"])


def test_assignment(golden):
    """In cases where both agree: torchvision gives a low-quality match to the true box that it overlaps most."""
    given, wanted = golden
    thresholds = {"positive_iou": 0.5, "negative_iou": 0.3, "min_positive_iou": 0}
    found = detection.assign_boxes(given["boxes"], given["true_boxes"], **thresholds)
    np.testing.assert_array_equal(found, wanted["matched"])
    thresholds = {"positive_iou": 0.5, "negative_iou": 0.5, "min_positive_iou": 0.5, "low_quality": False}
    found = detection.assign_boxes(given["boxes"], given["true_boxes"], **thresholds)
    np.testing.assert_array_equal(found, wanted["matched_without_low_quality"])


def test_masks(golden):
    given, wanted = golden
    found = ops.paste_masks(given["masks"], given["boxes"][:5], golden_boxes.IMAGE_SIZE)
    np.testing.assert_array_equal(found, wanted["pasted"])
    found = detection.mask_targets(given["true_masks"], given["rois"][:8, 1:], np.arange(8) % 4)
    np.testing.assert_array_equal(found, wanted["mask_targets"])
