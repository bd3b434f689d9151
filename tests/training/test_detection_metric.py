"""Average precision, in cases whose precision and recall are counted by hand."""

import numpy as np
import pytest

from npswin.data import Detections, DetectionSample
from npswin.training.detection_metric import AveragePrecision

pytest.importorskip("pycocotools")

ONE = pytest.approx(1, abs=1e-12)  # pycocotools adds a rounding error to the divisor of the precision


def sample(boxes, labels=None, crowd=None, masks=None, size=(200, 200)):
    count = len(boxes)
    return DetectionSample(
        np.zeros((3, *size), np.uint8),
        np.reshape(np.array(boxes, np.float64), (-1, 4)),
        np.zeros(count, np.int64) if labels is None else np.array(labels),
        masks,
        np.zeros(count, bool) if crowd is None else np.array(crowd),
    )


def found(boxes, scores, labels=None, masks=None):
    boxes = np.reshape(np.array(boxes, np.float64), (-1, 4))
    return Detections(
        boxes, np.zeros(len(boxes), np.int64) if labels is None else np.array(labels), np.array(scores, float), masks
    )


def box(x, y, width=40, height=40):
    return [x, y, x + width, y + height]


def evaluated(*pairs, classes=1, **options):
    metric = AveragePrecision(classes, **options)
    for pair in pairs:
        metric.add(*pair)
    return metric


def test_everything_is_found():
    scores = evaluated((sample([box(0, 0), box(100, 100)]), found([box(0, 0), box(100, 100)], [0.5, 0.9]))).box_scores()
    assert (scores.ap, scores.ap50, scores.ap75, scores.recall, *scores.class_ap) == (ONE, ONE, ONE, 1, ONE)


def test_nothing_is_found():
    scores = evaluated((sample([box(0, 0)]), found([], []))).box_scores()
    assert (scores.ap, scores.recall) == (0, 0)


def test_a_false_one_between_right_ones():
    """By falling score right, false, right: precision 1, 1/2, 2/3 at recalls 1/2, 1/2, 1. 51 recalls are up to 1/2."""
    objects = [box(0, 0), box(100, 100)]
    scores = evaluated((sample(objects), found([box(0, 0), box(0, 100), box(100, 100)], [0.9, 0.8, 0.7]))).box_scores()
    assert scores.ap == pytest.approx((51 * 1 + 50 * 2 / 3) / 101, abs=1e-12)
    assert scores.recall == 1


def test_half_of_the_objects_are_found():
    scores = evaluated((sample([box(0, 0), box(100, 100)]), found([box(0, 0)], [0.9]))).box_scores()
    assert scores.ap == pytest.approx(51 / 101, abs=1e-12)
    assert scores.recall == 0.5


def test_an_object_is_found_once():
    """The second detection of an object is false, so precision is 1, 1/2, 2/3 again."""
    objects = [box(0, 0), box(100, 100)]
    scores = evaluated((sample(objects), found([box(0, 0), box(0, 0), box(100, 100)], [0.9, 0.8, 0.7]))).box_scores()
    assert scores.ap == pytest.approx((51 + 50 * 2 / 3) / 101, abs=1e-12)


def test_thresholds_of_the_intersection_over_union():
    """A box of 40 × 40 that is moved by 5: 35/45 = 0.78 of the union, which is enough for six of ten thresholds."""
    scores = evaluated((sample([box(0, 0)]), found([box(5, 0)], [0.9]))).box_scores()
    assert (scores.ap, scores.ap50, scores.ap75, scores.recall) == pytest.approx((0.6, 1, 1, 0.6), abs=1e-12)
    scores = evaluated((sample([box(0, 0)]), found([box(10, 0)], [0.9]))).box_scores()
    assert (scores.ap, scores.ap50, scores.ap75) == pytest.approx((0.3, 1, 0), abs=1e-12)  # 30/50: 0.5, 0.55, 0.6
    scores = evaluated((sample([box(0, 0)]), found([box(6.5, 0)], [0.9]))).box_scores()
    assert (scores.ap, scores.ap75) == pytest.approx((0.5, 0), abs=1e-12)  # 33.5/46.5 = 0.72


def test_the_measure_is_of_all_images_together():
    """Two images, of which one has its false detection before the other's right one: not the mean of 1 and 1/2."""
    first = sample([box(0, 0)]), found([box(0, 0)], [0.9])
    second = sample([box(0, 0)]), found([box(100, 100), box(0, 0)], [0.8, 0.7])
    scores = evaluated(first, second).box_scores()
    assert scores.ap == pytest.approx((51 + 50 * 2 / 3) / 101, abs=1e-12)


def test_classes_are_averaged_and_those_without_objects_left_out():
    objects = sample([box(0, 0), box(100, 100)], labels=[0, 2])
    scores = evaluated((objects, found([box(0, 0), box(100, 100)], [0.9, 0.8], [0, 1])), classes=4).box_scores()
    np.testing.assert_allclose(scores.class_ap, [1, np.nan, 0, np.nan], atol=1e-12)
    assert scores.ap == pytest.approx(0.5, abs=1e-12)


def test_no_object_at_all():
    scores = evaluated((sample([]), found([box(0, 0)], [0.9]))).box_scores()
    assert np.isnan([scores.ap, scores.ap50, scores.ap75, scores.recall, *scores.class_ap]).all()


def test_what_is_found_in_a_crowd_is_no_mistake():
    objects = sample([box(0, 0), box(60, 60, 100, 100)], crowd=[False, True])
    boxes = [box(60, 60, 30, 30), box(100, 100, 30, 30), box(0, 0)]
    assert evaluated((objects, found(boxes, [0.9, 0.8, 0.7]))).box_scores().ap == ONE
    not_crowd = sample([box(0, 0), box(60, 60, 100, 100)])
    assert evaluated((not_crowd, found(boxes, [0.9, 0.8, 0.7]))).box_scores().ap < 0.5


def test_areas():
    objects = [box(0, 0, 20, 20), box(0, 60, 50, 50), box(70, 0, 100, 100)]
    scores = evaluated((sample(objects), found(objects[1:], [0.9, 0.8]))).box_scores()
    assert (scores.ap_small, scores.ap_medium, scores.ap_large) == (0, ONE, ONE)


def test_the_area_of_an_object_with_a_mask_is_that_of_the_mask():
    masks = np.zeros((1, 200, 200), bool)
    masks[0, :20, :20] = True
    objects = sample([box(0, 0, 100, 100)], masks=masks)
    scores = evaluated((objects, found([box(0, 0, 100, 100)], [0.9], masks=masks))).box_scores()
    assert (scores.ap_small, scores.ap) == (ONE, ONE)
    assert np.isnan(scores.ap_large)


def test_masks():
    """The same boxes; masks of which the one found has 300 of 400 pixels, enough for 0.5, ..., 0.75."""
    there, seen = np.zeros((2, 1, 200, 200), bool)
    there[0, :20, :20] = True
    seen[0, :15, :20] = True
    pair = sample([box(0, 0, 20, 20)], masks=there), found([box(0, 0, 20, 20)], [0.9], masks=seen)
    metric = evaluated(pair)
    assert metric.mask_scores().ap == pytest.approx(0.6, abs=1e-12)
    assert metric.box_scores().ap == ONE
    assert metric.mask_scores().ap_small == pytest.approx(0.6, abs=1e-12)


def test_masks_of_images_without_objects():
    none = np.zeros((0, 200, 200), bool)
    metric = evaluated((sample([], masks=none), found([], [], masks=none)))
    assert np.isnan(metric.mask_scores().ap)


def test_so_many_detections_count():
    objects = [box(x, y, 8, 8) for x in range(0, 200, 10) for y in range(0, 200, 20)]
    pair = sample(objects), found(objects, np.linspace(0.9, 0.1, 200))
    assert evaluated(pair).max_detections == 100
    assert evaluated(pair, max_detections=10).box_scores().recall == 0.05
    assert evaluated(
        (sample(objects[:20]), found(objects[:20], np.linspace(0.9, 0.1, 20))), max_detections=10
    ).box_scores().ap == pytest.approx(51 / 101, abs=1e-12)


def test_it_prints_nothing(capsys):
    evaluated((sample([box(0, 0)]), found([box(0, 0)], [0.9]))).box_scores()
    assert capsys.readouterr() == ("", "")


def test_scores_may_be_asked_for_again():
    metric = evaluated((sample([box(0, 0)]), found([box(5, 0)], [0.9])))
    assert str(metric.box_scores()) == str(metric.box_scores())
    metric.add(sample([box(0, 0)]), found([], []))
    assert metric.box_scores().recall == pytest.approx(0.3)


def test_wrong_arguments():
    right = sample([box(0, 0)]), found([box(0, 0)], [0.9])
    with pytest.raises(ValueError, match="num_classes: got 0"):
        AveragePrecision(0)
    with pytest.raises(ValueError, match="max_detections: got 0"):
        AveragePrecision(1, 0)
    with pytest.raises(ValueError, match="got no image"):
        AveragePrecision(1).box_scores()
    with pytest.raises(ValueError, match="sample: got"):
        AveragePrecision(1).add(right[1], right[1])
    with pytest.raises(ValueError, match="found: got"):
        AveragePrecision(1).add(right[0], right[0])
    with pytest.raises(ValueError, match="found: got labels from 1 to 1, expected 0 to 0"):
        AveragePrecision(1).add(right[0], found([box(0, 0)], [0.9], [1]))
    with pytest.raises(ValueError, match="mask_scores: got samples or detections without masks"):
        evaluated(right).mask_scores()
    with pytest.raises(ValueError, match=r"found: got masks of the size \(3, 4\), expected \(200, 200\)"):
        AveragePrecision(1).add(right[0], found([box(0, 0)], [0.9], masks=np.zeros((1, 3, 4), bool)))
