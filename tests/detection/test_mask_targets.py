"""Targets of masks: a box's part of its mask, and what is put in is got back by pasting."""

import numpy as np
import pytest

from npswin import ops
from npswin.detection import mask_targets

MASKS = np.zeros((2, 20, 30), bool)
MASKS[0, 5:15, 10:20] = True
MASKS[1, :, :15] = True


def test_a_box_around_a_mask_is_full_and_one_twice_as_wide_is_half_full():
    boxes = np.array([[10.0, 5.0, 20.0, 15.0], [10.0, 5.0, 30.0, 15.0], [5.0, 0.0, 25.0, 20.0]])
    full, half, halves = mask_targets(MASKS, boxes, np.array([0, 0, 1]), 8)
    assert full.all()
    np.testing.assert_array_equal(half, np.broadcast_to([1, 1, 1, 1, 0, 0, 0, 0], (8, 8)))
    np.testing.assert_array_equal(halves, half)


def test_boxes_are_cut_off_at_the_border():
    boxes = np.array([[-30.0, -10.0, 30.0, 40.0], [0.0, 0.0, 30.0, 20.0]], np.float32)
    beyond, within = mask_targets(MASKS, boxes, np.array([1, 1]), 6)
    np.testing.assert_array_equal(beyond, within)
    assert within.dtype == np.float32
    assert 0 < within.mean() < 1


def test_no_boxes():
    assert mask_targets(MASKS, np.zeros((0, 4)), np.zeros(0, np.int64)).shape == (0, 28, 28)
    assert mask_targets(MASKS[:0], np.zeros((0, 4)), np.zeros(0, np.int64)).shape == (0, 28, 28)


def test_pasting_gives_the_mask_back():
    boxes = np.array([[10.0, 5.0, 20.0, 15.0], [0.0, 0.0, 15.0, 20.0]])
    pasted = ops.paste_masks(mask_targets(MASKS, boxes, np.array([0, 1])), boxes, (20, 30))
    np.testing.assert_array_equal(pasted, MASKS)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("masks", (MASKS.astype(np.uint8), np.ones((1, 4)), np.zeros(1, int))),
        ("masks", (MASKS[0], np.ones((1, 4)), np.zeros(1, int))),
        ("boxes", (MASKS, [[0, 0, 1, 1]], np.zeros(1, int))),
        ("indices", (MASKS, np.ones((1, 4)), np.zeros(2, int))),
        ("indices", (MASKS, np.ones((1, 4)), np.zeros(1))),
        ("indices", (MASKS, np.ones((1, 4)), np.array([2]))),
        ("indices", (MASKS, np.ones((1, 4)), np.array([-1]))),
        ("size", (MASKS, np.ones((1, 4)), np.zeros(1, int), 0)),
    ],
)
def test_wrong_arguments_are_named(name, arguments):
    with pytest.raises(ValueError, match=f"^{name}: got"):
        mask_targets(*arguments)
