"""RoI features, the boxes that a stage passes on, and what counts as found."""

import numpy as np
import pytest

from npswin.models.detection.detections import DetectionLimits, DetectorOutput, best_boxes
from npswin.models.detection.roi_pooling import levels_of, pool_rois_backward, pool_rois_forward
from npswin.models.detection.roi_stage import RoIStage
from npswin.models.detection.samples import StageRule
from tests.gradient_errors import gradcheck_and_record
from tests.ops.drawn import normal

RULE = StageRule(0.5, (0.5, 0.5, 1.0, 1.0), 1.0, "l1", 1.0, low_quality=False)


@pytest.mark.parametrize(
    ("width", "height", "level"),
    [(10, 10, 0), (111, 111, 0), (112, 112, 1), (56, 224, 1), (224, 224, 2), (448, 448, 3), (2000, 2000, 3), (0, 9, 0)],
)
def test_the_level_of_a_box_follows_from_its_area(width, height, level):
    assert levels_of(np.array([[5.0, 7.0, 5.0 + width, 7.0 + height]]), 56, 4).tolist() == [level]


def test_pooled_rois_of_several_levels():
    maps = [normal(1, 2, 12, 10, 2), normal(2, 2, 6, 5, 2), normal(3, 2, 3, 3, 2)]
    rois = np.array([[0, 1, 1, 9, 8], [1, 0, 0, 35, 37], [0, 2, 3, 30, 41], [1, 3, 3, 9, 9.5], [1, 20, 20, 28, 29]])

    def forward(*maps):
        features, cache = pool_rois_forward(maps, rois, 2, (1, 2, 4))
        return features, cache

    features, cache = forward(*maps)
    assert features.shape == (5, 2, 2, 2)
    assert levels_of(rois[:, 1:], 14, 3).tolist() == [0, 1, 1, 0, 0]
    np.testing.assert_array_equal(pool_rois_backward(np.ones_like(features), cache)[2], 0)
    functions = forward, lambda dy, cache: tuple(pool_rois_backward(dy, cache))
    gradcheck_and_record("pool_rois", functions, maps, tolerance=1e-8)
    alone = pool_rois_forward(maps, rois[3:4], 2, (1, 2, 4))[0]
    np.testing.assert_array_equal(features[3], alone[0])


def test_a_stage_passes_on_the_box_of_the_true_class_or_else_of_the_most_likely_one():
    stage = RoIStage(None, None, RULE, (4,), 1)
    rois = np.array([[0, 10, 10, 20, 20], [1, 10, 10, 20, 20], [0, 10, 10, 20, 20], [0, 2, 10, 12, 20]], float)
    deltas = np.zeros((4, 2, 4))
    deltas[:, 0, 0], deltas[:, 1, 0] = 1, -1  # half a side to the right, to the left
    logits = np.array([[0, 1, 9], [1, 0, 9], [1, 0, 9], [0, 1, 9]], float)
    sizes = np.array([[30, 22], [30, 40]])
    left, right, cut_off = [5, 10, 15, 20], [15, 10, 25, 20], [15, 10, 22, 20]
    at_the_left = [0, 10, 7, 20]
    refined = stage.refine(rois, logits, deltas, sizes)
    np.testing.assert_allclose(refined, [[0, *left], [1, *right], [0, *cut_off], [0, *at_the_left]])
    labels = np.array([0, 1, 2, 2])
    refined = stage.refine(rois, logits, deltas, sizes, labels)
    np.testing.assert_allclose(refined, [[0, *cut_off], [1, *left], [0, *cut_off], [0, *at_the_left]])
    refined = stage.refine(rois, logits, deltas[:, :1], sizes, labels)
    np.testing.assert_allclose(refined[:, 1], [15, 15, 15, 7])


def test_boxes_are_found_by_class_and_by_falling_score():
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30]], float)[:, None]
    probabilities = np.array([[0.5, 0.3], [0.6, 0.06], [0.05, 0.7]])
    limits = DetectionLimits(0.05, 0.5, 3)
    found, scores, labels = best_boxes(boxes, probabilities, limits)
    assert scores.tolist() == [0.7, 0.6, 0.3]
    assert labels.tolist() == [1, 0, 1]
    np.testing.assert_array_equal(found, boxes[[2, 1, 0], 0])
    assert len(best_boxes(boxes, probabilities * 0, limits)[0]) == 0


def test_boxes_without_area_are_not_found():
    boxes = np.array([[30, 0, 30, 10], [0, 0, 10, 10], [5, 20, 9, 20]], float)[:, None]
    found, scores, labels = best_boxes(boxes, np.array([[0.9], [0.6], [0.8]]), DetectionLimits(0.05, 0.5, 3))
    np.testing.assert_array_equal(found, boxes[1])
    assert (scores.tolist(), labels.tolist()) == ([0.6], [0])


def test_masks_are_pasted_into_the_image():
    boxes = np.array([[2, 1, 6, 5], [0, 0, 8, 6]], float)
    found = DetectorOutput(boxes, np.ones(2), np.zeros(2, int), np.full((2, 4, 4), 0.9), (6, 8))
    inside = np.zeros((6, 8), bool)
    inside[1:5, 2:6] = True
    np.testing.assert_array_equal(found.masks(), [inside, np.ones((6, 8), bool)])
    assert not found.masks(0.95).any()
