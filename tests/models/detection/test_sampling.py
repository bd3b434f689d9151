"""Which anchors and proposals the stages are trained on."""

import numpy as np

from npswin.models.detection.roi_stage import RoIStage
from npswin.models.detection.rpn_head import RPNHead
from npswin.models.detection.samples import RPNRule, StageRule
from tests.models.detection.tiny import drawn_objects
from tests.ops.drawn import normal


def rpn_head(samples, anchors_inside=False, **scale):
    rule = RPNRule("l1", anchors_inside)
    return RPNHead(2, (4, 8, 16), samples, rule, np.random.default_rng(0), "float64", **scale)


def draw(head, sizes, objects, seed=0):
    pyramid = [normal(level, len(sizes), -(-96 // s), -(-64 // s), 2) for level, s in enumerate(head.strides)]
    return head.draw_samples(pyramid, objects, np.array(sizes), np.random.default_rng(seed)), head.anchors(pyramid)


def empty(size):
    return drawn_objects(np.random.default_rng(0), 0, 3, size)


def test_anchors_of_padding_beside_larger_images_take_no_part():
    sizes = [(96, 64), (33, 21)]
    samples, anchors = draw(rpn_head(100_000), sizes, [empty(size) for size in sizes])
    centres = np.concatenate([(level[:, :2] + level[:, 2:]) / 2 for level in anchors])
    for image, (right, below) in enumerate([(64, 96), (24, 40)]):  # padded until 8 divides the sides
        inside = np.flatnonzero((centres < (right, below)).all(axis=1))
        np.testing.assert_array_equal(samples.anchors[samples.images == image], inside)
    assert samples.divisor == len(samples.anchors) + 2  # as if one in each image were positive
    assert not samples.is_object.any()
    assert samples.deltas.shape == (0, 4)


def test_anchors_that_reach_over_the_border_may_take_no_part():
    sizes = [(96, 64), (33, 45), (20, 64)]
    samples, anchors = draw(rpn_head(100_000, anchors_inside=True), sizes, [empty(size) for size in sizes])
    counts = []
    for image, (height, width) in enumerate(sizes):
        inside = [
            place
            for place, (left, top, right, bottom) in enumerate(np.concatenate(anchors).tolist())
            if min(left, top) >= 0 and right < width and bottom < height
        ]
        assert samples.anchors[samples.images == image].tolist() == inside
        counts.append(len(inside))
    assert min(counts[:2]) > 0 == counts[2]  # the flattest anchor is 23 pixels high
    assert samples.divisor == sum(counts) + 4  # as if one in each image were positive, and one in the last negative


def test_a_batch_without_anchors_inside_has_no_samples():
    samples, _ = draw(
        rpn_head(8, anchors_inside=True), [(20, 20)], [drawn_objects(np.random.default_rng(0), 2, 3, (20, 20))]
    )
    assert samples.anchors.shape == samples.images.shape == samples.is_object.shape == (0,)
    assert samples.deltas.shape == (0, 4)
    assert samples.divisor == 2


def test_half_of_the_sampled_anchors_are_positive_where_there_are_so_many():
    one = drawn_objects(np.random.default_rng(1), 1, 3, (96, 64))
    one.boxes[0] = (10, 20, 50, 52)
    samples, anchors = draw(rpn_head(4), [(96, 64)], [one])
    assert samples.is_object.tolist() == [True, True, False, False]
    assert samples.divisor == 4
    chosen = np.concatenate(anchors)[samples.anchors[:2]]
    sides = chosen[:, 2:] - chosen[:, :2]
    np.testing.assert_allclose(samples.deltas[:, 2:], np.log((40, 32) / sides))
    np.testing.assert_allclose(samples.deltas[:, :2], ((30, 36) - (chosen[:, :2] + chosen[:, 2:]) / 2) / sides)
    again, _ = draw(rpn_head(4), [(96, 64)], [one])
    others, _ = draw(rpn_head(4), [(96, 64)], [one], seed=1)
    np.testing.assert_array_equal(samples.anchors, again.anchors)
    assert (samples.anchors != others.anchors).any()


def test_the_sides_of_anchors_are_so_many_strides():
    for head, sides in ((rpn_head(4), (32, 64, 128)), (rpn_head(4, anchor_scale=2.5), (10, 20, 40))):
        _, anchors = draw(head, [(96, 64)], [empty((96, 64))])
        for of_level, side in zip(anchors, sides, strict=True):
            areas = (of_level[:, 2:] - of_level[:, :2]).prod(axis=1)
            np.testing.assert_allclose(areas, side**2)


class Heads:
    """What a stage's samples depend on of its heads."""

    num_classes = 3


def test_rois_are_true_boxes_and_proposals_of_each_image():
    rule = StageRule(0.5, (0.1, 0.1, 0.2, 0.2), 1.0, "l1", 1.0, low_quality=False)
    stage = RoIStage(Heads, Heads, rule, (4,), 8)
    size = (40, 40)
    first, second = (drawn_objects(np.random.default_rng(image), 2, 3, size) for image in (0, 1))
    first.boxes[:] = [[0, 0, 20, 20], [10, 10, 30, 30]]
    first.crowd[1] = True
    first.masks[0] = np.arange(40) < 10
    proposals = [np.array([[0, 0, 20, 15], [11, 10, 30, 30], [0, 0, 20, 9]], float), second.boxes + 0.5]
    samples = stage.draw_samples(proposals, [first, second], np.random.default_rng(0))
    of_first = samples.rois[:, 0] == 0
    # A true box and a proposal that overlaps it by 3/4; by less than half; on a crowd, which is not looked for.
    expected = [first.boxes[0], proposals[0][0], proposals[0][1], proposals[0][2]]
    np.testing.assert_array_equal(samples.rois[of_first, 1:], expected)
    label = first.labels[0]
    assert samples.labels[of_first].tolist() == [label, label, 3, 3]
    assert samples.is_true_box[of_first].tolist() == [True, False, False, False]
    assert samples.labels[~of_first].tolist() == second.labels[[0, 1]].tolist()  # a quarter of 8
    np.testing.assert_array_equal(samples.boxes[:2], first.boxes[[0, 0]])
    left_half = np.tile(np.arange(28) < 14, (28, 1))
    assert samples.masks.shape == (4, 28, 28)
    np.testing.assert_array_equal(samples.masks[:2], [left_half, left_half])
