"""Anchors: their shapes, their order, and which of them are at places of the image."""

import numpy as np
import pytest

from npswin.detection import grid_anchors, inside_anchors, valid_anchors


def test_anchors_have_one_area_and_their_ratios_and_centres():
    anchors = grid_anchors((2, 3), 16, dtype=np.float64).reshape(2, 3, 3, 4)
    low, high = anchors[..., :2], anchors[..., 2:]
    sides = high - low
    np.testing.assert_allclose(sides.prod(axis=-1), 128.0**2)
    np.testing.assert_allclose(sides[..., 1] / sides[..., 0], np.broadcast_to([0.5, 1, 2], (2, 3, 3)))
    centres = (low + high) / 2
    np.testing.assert_allclose(centres[1, 2], np.broadcast_to([32, 16], (3, 2)), atol=1e-12)
    np.testing.assert_array_equal(anchors[0, 0, 1], [-64, -64, 64, 64])


def test_the_dtype_is_float32_unless_asked_for():
    assert grid_anchors((1, 1), 4).dtype == np.float32


def test_anchors_of_padding_are_not_valid():
    valid = valid_anchors((4, 5), (17, 39), 8, each=2).reshape(4, 5, 2)
    assert valid[:3].all()
    assert not valid[3].any()
    valid = valid_anchors((4, 5), (24, 32), 8).reshape(4, 5, 3)
    assert valid[:3, :4].all()
    assert not valid[3].any()
    assert not valid[:, 4].any()


def test_an_anchor_inside_may_touch_the_left_and_upper_border_alone():
    least = 2**-10
    anchors = [
        ((0, 0, 39 - least, 17 - least), True),
        ((0, 0, 39, 16), False),
        ((0, 0, 38, 17), False),
        ((-least, 0, 38, 16), False),
        ((0, -least, 38, 16), False),
        ((0, 0, 17, 20), False),  # would fit if height and width were exchanged
        ((45, 5, 50, 8), False),
    ]
    boxes, inside = (np.array(column) for column in zip(*anchors, strict=True))
    assert inside_anchors(boxes.astype(np.float32), (17, 39)).tolist() == inside.tolist()


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("stride", lambda: grid_anchors((2, 3), 0)),
        ("scale", lambda: grid_anchors((2, 3), 4, scale=-1.0)),
        ("ratios", lambda: grid_anchors((2, 3), 4, ratios=(1.0, 0.0))),
        (r"map_size\[1\]", lambda: grid_anchors((2, 0), 4)),
        (r"image_size\[0\]", lambda: valid_anchors((2, 2), (0, 5), 4)),
        ("anchors", lambda: inside_anchors(np.zeros((2, 3)), (5, 5))),
        ("anchors", lambda: inside_anchors([[0, 0, 1, 1]], (5, 5))),
        (r"image_size\[1\]", lambda: inside_anchors(np.zeros((2, 4)), (5, 0))),
        ("each", lambda: valid_anchors((2, 2), (5, 5), 4, 0)),
    ],
)
def test_wrong_arguments_are_named(name, call):
    with pytest.raises(ValueError, match=f"^{name}: got"):
        call()
