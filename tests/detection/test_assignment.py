"""The true box of each box, by the rules of `assign_boxes` one by one and all together, said again by loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npswin import ops
from npswin.detection import BACKGROUND, IGNORED, assign_boxes
from tests.ops.drawn import SEEDS, random_boxes

TRUE = np.array([[0.0, 0.0, 10.0, 10.0], [100.0, 100.0, 120.0, 120.0]])
RPN = {"positive_iou": 0.7, "negative_iou": 0.3, "min_positive_iou": 0.3}


def assigned(boxes, true_boxes=TRUE, crowd=None, **changed):
    return assign_boxes(np.asarray(boxes, float).reshape(-1, 4), true_boxes, crowd, **RPN | changed).tolist()


def test_thresholds():
    boxes = [[0, 0, 10, 9], [0, 0, 10, 4], [0, 0, 10, 2], [100, 100, 120, 119], [40, 40, 50, 50]]
    assert assigned(boxes) == [0, IGNORED, BACKGROUND, 1, BACKGROUND]


def test_an_iou_equal_to_a_threshold_is_positive_and_not_background():
    boxes = [[0, 0, 10, 10], [0, 0, 10, 5], [0, 0, 5, 5]]
    assert assigned(boxes, positive_iou=0.5, negative_iou=0.25) == [0, 0, IGNORED]


def test_a_true_box_gets_the_boxes_that_overlap_it_most():
    boxes = [[0, 0, 10, 4], [0, 6, 10, 10], [0, 0, 10, 3.5]]
    assert assigned(boxes) == [0, 0, IGNORED]
    assert assigned(boxes, low_quality=False) == [IGNORED] * 3
    assert assigned(boxes, min_positive_iou=0.45) == [IGNORED] * 3


def test_a_box_that_two_true_boxes_want_goes_to_the_last_one():
    true_boxes = np.array([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 5.0]])
    assert assigned([[0, 0, 10, 9]], true_boxes) == [1]
    assert assigned([[0, 0, 10, 9]], true_boxes, low_quality=False) == [0]


def test_crowds_take_no_part():
    boxes = [[0, 0, 10, 10], [100, 100, 120, 120]]
    assert assigned(boxes, crowd=np.array([True, False])) == [BACKGROUND, 1]
    assert assigned(boxes, crowd=np.array([True, True])) == [BACKGROUND, BACKGROUND]


def test_without_true_boxes_all_is_background_and_without_boxes_there_is_nothing():
    assert assigned([[0, 0, 10, 10]], np.zeros((0, 4))) == [BACKGROUND]
    assert assigned(np.zeros((0, 4))) == []
    assert assigned(np.zeros((0, 4)), np.zeros((0, 4))) == []


@given(SEEDS, st.integers(0, 12), st.integers(1, 4), st.booleans())
def test_the_rules_together(seed, count, true_count, low_quality):
    boxes, true_boxes = random_boxes(seed, count, 0.5), random_boxes(seed + 1, true_count, 0.5)
    iou = ops.box_iou(boxes, true_boxes)
    wanted = []
    for row in iou:
        best = int(np.argmax(row))
        choice = best if row[best] >= 0.5 else BACKGROUND if row[best] < 0.4 else IGNORED
        for index in range(true_count):
            if low_quality and row[index] == iou[:, index].max() >= 0.2:
                choice = index
        wanted.append(choice)
    thresholds = {"positive_iou": 0.5, "negative_iou": 0.4, "min_positive_iou": 0.2}
    assert assigned(boxes, true_boxes, low_quality=low_quality, **thresholds) == wanted


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("positive_iou", {"positive_iou": 1.5}),
        ("negative_iou", {"negative_iou": 0.8}),
        ("min_positive_iou", {"min_positive_iou": -0.1}),
        ("low_quality", {"low_quality": 1}),
        ("crowd", {"crowd": np.array([True])}),
        ("crowd", {"crowd": np.array([0, 1])}),
        ("true_boxes", {"true_boxes": [[0, 0, 1, 1]]}),
    ],
)
def test_wrong_arguments_are_named(name, changed):
    with pytest.raises(ValueError, match=f"^{name}: got"):
        assigned([[0, 0, 10, 10]], **changed)
