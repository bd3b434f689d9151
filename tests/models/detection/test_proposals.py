"""From objectness and deltas of anchors to proposals."""

import numpy as np

from npswin.models.detection.proposals import ProposalLimits, propose

ANCHORS = [
    np.array([[0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30], [-4, 2, 6, 12]], float),
    np.array([[0, 0, 10, 10], [0, 0, 12, 10]], float),
]
OBJECTNESS = np.array([[3, 2, 1, 4, 2.5, 2.6], [0, 5, 1, 0, np.nan, 7]])


def proposals(before_nms, after_nms, sizes=((40, 40), (40, 25))):
    outputs = [OBJECTNESS, np.zeros((2, 6, 4))]
    return propose(outputs, ANCHORS, np.array(sizes), ProposalLimits(before_nms, after_nms, 0.7))


def test_boxes_are_suppressed_within_their_level_and_cut_off_at_the_border():
    first, second = proposals(10, 10)
    cut_off = [0, 2, 6, 12]
    np.testing.assert_array_equal(first, [cut_off, ANCHORS[0][0], ANCHORS[1][1], ANCHORS[0][2]])
    np.testing.assert_array_equal(second, [ANCHORS[1][1], ANCHORS[0][1], [20, 20, 25, 30], cut_off])


def test_boxes_beside_the_image_are_none():
    """Padding has anchors, too: nothing is left of them at the border, and so they would not be suppressed."""
    first, second = proposals(10, 10, sizes=((40, 40), (40, 20)))
    assert len(first) == 4
    np.testing.assert_array_equal(second, [ANCHORS[1][1], ANCHORS[0][1], [0, 2, 6, 12]])
    none, _ = proposals(10, 10, sizes=((0, 40), (40, 40)))
    assert none.shape == (0, 4)


def test_the_best_of_each_level_and_then_of_all_are_kept():
    assert [len(boxes) for boxes in proposals(1, 10)] == [2, 2]
    first, second = proposals(10, 1)
    np.testing.assert_array_equal(first, [[0, 2, 6, 12]])
    np.testing.assert_array_equal(second, [ANCHORS[1][1]])
