"""Ops on boxes where something is missing, degenerate or wrong: there, too, backends do what the docstrings say."""

import numpy as np
import pytest

from npswin import ops
from npswin.backends.dispatcher import Dispatcher

BACKENDS = [pytest.param(Dispatcher(name), id=name) for name in ("numpy", "cpu")]
in_each_backend = pytest.mark.parametrize("backend", BACKENDS)
NONE = np.zeros((0, 4))
BOX = np.array([[10.0, 20.0, 30.0, 50.0]])


@in_each_backend
def test_without_boxes_losses_are_0_and_have_no_derivative(backend):
    calls = {
        "giou_loss": (NONE, NONE),
        "l1_loss": (NONE, NONE),
        "smooth_l1_loss": (NONE, NONE),
        "sigmoid_cross_entropy": (NONE, NONE),
        "pixel_cross_entropy": (np.zeros((0, 5)), np.zeros(0, np.int64)),
    }
    for name, arguments in calls.items():
        for divisor in (None, 3.0):
            loss, cache = getattr(backend, f"{name}_forward")(*arguments, divisor=divisor)
            assert loss == 0
            assert getattr(backend, f"{name}_backward")(1.0, cache).shape == arguments[0].shape


@in_each_backend
def test_without_boxes_there_is_nothing_to_decode_keep_or_paste(backend):
    decoded, cache = backend.decode_boxes_forward(NONE, NONE, (1, 1, 1, 1))
    assert decoded.shape == backend.decode_boxes_backward(decoded, cache).shape == (0, 4)
    assert backend.encode_boxes(NONE, NONE, (1, 1, 1, 1)).shape == (0, 4)
    assert backend.box_iou(NONE, BOX).shape == (0, 1)
    assert backend.box_iou(BOX, NONE).shape == (1, 0)
    kept = backend.nms(NONE, np.zeros(0), 0.5)
    assert kept.shape == (0,)
    assert kept.dtype == np.int64
    assert backend.paste_masks(np.zeros((0, 28, 28)), NONE, (5, 6)).shape == (0, 5, 6)


@in_each_backend
def test_without_rois_a_map_has_no_derivative(backend):
    x = np.ones((2, 3, 4, 5))
    y, cache = backend.roi_align_forward(x, np.zeros((0, 5)), (7, 7), 0.25)
    assert y.shape == (0, 7, 7, 5)
    dx = backend.roi_align_backward(y, cache)
    assert dx.shape == x.shape
    assert not dx.any()


@in_each_backend
@pytest.mark.parametrize("sampling_ratio", [0, 2])
def test_of_a_constant_a_roi_is_the_share_of_it_on_the_map(backend, sampling_ratio):
    x = np.ones((1, 8, 8, 2))
    rois = np.array([[0, 8, 8, 24, 24], [0, 100, 8, 120, 24], [0, -40, -40, -20, 24], [0, 12, 12, 12, 12.0]])
    y, cache = backend.roi_align_forward(x, rois, (2, 2), 0.25, sampling_ratio)
    inside, beyond, before, empty = y
    np.testing.assert_allclose(inside, 1)
    assert not beyond.any()
    assert not before.any()
    np.testing.assert_allclose(empty, 1 if sampling_ratio else 0)  # as many points as pixels: none
    dx = backend.roi_align_backward(np.ones_like(y), cache)
    np.testing.assert_allclose(dx.sum(), y.sum())


@in_each_backend
def test_a_pixel_beyond_the_border_counts_as_the_one_at_the_border(backend):
    x = np.arange(16.0).reshape(1, 4, 4, 1)
    rois = np.array([[0, -0.4, 0, -0.2, 4], [0, -0.6, 0, -0.5, 4], [0, 4.2, 0, 4.4, 4], [0, 4.4, 0, 4.7, 4]])
    y, _ = backend.roi_align_forward(x, rois, (4, 1), 1.0, 1)
    near_left, far_left, near_right, far_right = y[..., 0, 0]
    np.testing.assert_allclose(near_left, x[0, :, 0, 0])
    assert not far_left.any()
    np.testing.assert_allclose(near_right, x[0, :, 3, 0])
    assert not far_right.any()


@in_each_backend
def test_a_roi_that_cannot_be_read_gives_nan_and_has_no_derivative(backend):
    x = np.ones((2, 3, 4, 5))
    wrong = np.array(
        [
            *([np.nan, 0, 0, 4, 4], [2, 0, 0, 4, 4], [-1, 0, 0, 4, 4], [np.inf, 0, 0, 4, 4], [0, np.nan, 0, 4, 4]),
            *([0, 0, 0, np.inf, 4], [0, 0, -np.inf, 4, 4], [0, 0, 0, 1e30, 4], [1, 0, 0, 4, 4]),
        ]
    )
    y, cache = backend.roi_align_forward(x, wrong, (2, 2), 1.0)
    assert np.isnan(y[:-1]).all()
    np.testing.assert_allclose(y[-1], 1)
    dx = backend.roi_align_backward(np.ones_like(y), cache)
    assert not dx[0].any()
    assert dx[1].any()


def test_overlapping_rois_add():
    x, rois = np.ones((1, 6, 6, 2)), np.array([[0, 1, 1, 4, 5], [0, 2, 0, 5, 6], [0, 1, 1, 4, 5.0]])
    dy = np.random.default_rng(0).standard_normal((3, 3, 2, 2))
    parts = []
    for place in range(3):
        _, cache = ops.roi_align_forward(x, rois[place : place + 1], (3, 2), 1.0)
        parts.append(ops.roi_align_backward(dy[place : place + 1], cache))
    _, cache = ops.roi_align_forward(x, rois, (3, 2), 1.0)
    np.testing.assert_allclose(ops.roi_align_backward(dy, cache), sum(parts), rtol=0, atol=1e-12)


@in_each_backend
def test_the_giou_of_boxes_that_are_the_same_apart_or_without_area(backend):
    boxes = np.array([[0.0, 0, 10, 10], [0, 0, 10, 10], [5, 5, 5, 5], [0, 0, 10, 0]])
    targets = np.array([[0.0, 0, 10, 10], [20, 0, 30, 10], [5, 5, 5, 5], [0, 0, 10, 0]])
    losses = [backend.giou_loss_forward(*pair)[0] for pair in zip(boxes[:, None], targets[:, None], strict=True)]
    np.testing.assert_allclose(losses, [0, 1 + 1 / 3, 1, 1], atol=1e-12)
    _, cache = backend.giou_loss_forward(boxes, targets)
    dboxes = backend.giou_loss_backward(1.0, cache)
    assert np.isfinite(dboxes).all()
    assert dboxes[1, 2] < 0  # its right end moves towards the target
    assert not dboxes[2:].any()


@in_each_backend
def test_boxes_without_area_overlap_nothing(backend):
    boxes = np.array([[5.0, 5, 5, 5], [0, 0, 10, 10], [0, 0, 10, 0]])
    np.testing.assert_array_equal(backend.box_iou(boxes, boxes), np.diag([0.0, 1, 0]))
    np.testing.assert_array_equal(backend.nms(boxes, np.ones(3), 0.0), [0, 1, 2])


@in_each_backend
def test_nms_by_falling_score_within_groups(backend):
    boxes = np.array([[0.0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 9, 10], [50, 50, 60, 60], [0, 0, 10, 10]])
    scores = np.array([0.5, 0.9, 0.5, 0.7, 0.5])
    np.testing.assert_array_equal(backend.nms(boxes, scores, 0.5), [1, 3])
    np.testing.assert_array_equal(backend.nms(boxes, scores, 0.9), [1, 3, 0, 2])  # an IoU of 0.9 is not above it
    np.testing.assert_array_equal(backend.nms(boxes, scores, 0.5, np.array([0, 1, 0, 1, 2])), [1, 3, 0, 4])
    np.testing.assert_array_equal(backend.nms(boxes, scores, 0.5, np.array([7, 7, 7, 7, 0], np.uint8)), [1, 3, 4])


@in_each_backend
def test_a_score_of_nan_is_refused(backend):
    with pytest.raises(ValueError, match=r"^scores: got NaN at 1, expected numbers$"):
        backend.nms(np.repeat(BOX, 3, axis=0), np.array([0.1, np.nan, 0.2]), 0.5)


@in_each_backend
def test_a_box_of_nan_is_kept_and_suppresses_nothing(backend):
    boxes = np.array([[np.nan, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 9.5]])
    np.testing.assert_array_equal(backend.nms(boxes, np.array([0.9, 0.8, 0.7]), 0.5), [0, 1])


@in_each_backend
@pytest.mark.parametrize("label", [3, -1, 254])
def test_a_label_that_is_no_class_is_refused(backend, label):
    with pytest.raises(ValueError, match=f"^labels: got {label}, expected 0 to 2, or 255 for what is ignored$"):
        backend.pixel_cross_entropy_forward(np.zeros((2, 3)), np.array([0, label]))


@in_each_backend
def test_ignored_places_count_nothing(backend):
    logits = np.random.default_rng(0).standard_normal((4, 3))
    labels, weights = np.array([0, 255, 2, 255]), np.array([1.0, np.inf, 2, 1])
    loss, cache = backend.pixel_cross_entropy_forward(logits, labels, weights)
    wanted, _ = backend.pixel_cross_entropy_forward(logits[::2], labels[::2], weights[::2])
    np.testing.assert_allclose(loss, wanted)
    dlogits = backend.pixel_cross_entropy_backward(1.0, cache)
    assert not dlogits[1::2].any()
    assert dlogits[::2].all()
    loss, cache = backend.pixel_cross_entropy_forward(logits, np.full(4, 255))
    assert loss == 0
    assert not backend.pixel_cross_entropy_backward(1.0, cache).any()


@in_each_backend
def test_large_logits_do_not_overflow(backend):
    x, targets = np.array([-1e4, 1e4, -1e4, 1e4], np.float32), np.array([0, 1, 1, 0], np.float32)
    loss, cache = backend.sigmoid_cross_entropy_forward(x, targets, None, 1.0)
    assert loss == 2e4
    np.testing.assert_array_equal(backend.sigmoid_cross_entropy_backward(1.0, cache), [0, 0, -1, 1])


@in_each_backend
def test_deltas_are_limited_and_encoding_is_the_inverse(backend):
    deviations = (0.1, 0.1, 0.2, 0.2)
    deltas = np.array([[0.0, 0, 50, -50]])
    decoded, cache = backend.decode_boxes_forward(deltas, BOX, deviations)
    np.testing.assert_allclose(decoded[0, 2:] - decoded[0, :2], [20 * 1000 / 16, 30 * 16 / 1000])
    assert not backend.decode_boxes_backward(np.ones((1, 4)), cache)[0, 2:].any()
    rng = np.random.default_rng(0)
    deltas, boxes = rng.standard_normal((9, 4)), np.sort(rng.uniform(0, 50, (2, 9, 2)), axis=0)
    boxes = np.concatenate([*boxes], axis=1)
    decoded, _ = backend.decode_boxes_forward(deltas, boxes, deviations)
    np.testing.assert_allclose(backend.encode_boxes(boxes, decoded, deviations), deltas, atol=1e-10)


@in_each_backend
def test_masks_of_boxes_without_area_or_beyond_the_image_paste_nothing(backend):
    boxes = np.array([[5.0, 2, 5, 8], [-9, -9, -2, -2], [30, 2, 40, 8], [np.nan, 0, 5, 5], [-np.inf, 0, 5, 5]])
    pasted = backend.paste_masks(np.ones((5, 4, 4)), boxes, (10, 12))
    assert not pasted.any()
    assert pasted.dtype == bool


@in_each_backend
def test_a_mask_is_pasted_into_its_box(backend):
    pasted = backend.paste_masks(np.ones((1, 4, 6)), np.array([[2.0, -3, 8, 4]]), (10, 12))
    wanted = np.zeros((10, 12), bool)
    wanted[:4, 2:8] = True
    np.testing.assert_array_equal(pasted[0], wanted)
    pasted = backend.paste_masks(np.full((1, 4, 6), 0.4), np.array([[2.0, -3, 8, 4]]), (10, 12), 0.3)
    np.testing.assert_array_equal(pasted[0], wanted)
