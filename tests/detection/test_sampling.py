"""Samples: numbers, shares, randomness, and the true boxes that are added."""

import numpy as np
import pytest

from npswin.detection import BACKGROUND, IGNORED, add_true_boxes, sample_boxes

ASSIGNED = np.array([0, BACKGROUND, 1, IGNORED, 0, BACKGROUND, BACKGROUND, 2, BACKGROUND, IGNORED])


def sampled(count, share, seed=0):
    return sample_boxes(ASSIGNED, count, share, np.random.default_rng(seed))


def test_numbers_and_shares():
    positive, negative = sampled(5, 0.5)
    assert len(positive) == 2
    assert len(negative) == 3
    assert (ASSIGNED[positive] >= 0).all()
    assert (ASSIGNED[negative] == BACKGROUND).all()
    assert (np.diff(positive) > 0).all()
    assert (np.diff(negative) > 0).all()


def test_where_there_are_too_few_all_are_taken():
    positive, negative = sampled(100, 0.5)
    np.testing.assert_array_equal(positive, np.flatnonzero(ASSIGNED >= 0))
    np.testing.assert_array_equal(negative, np.flatnonzero(ASSIGNED == BACKGROUND))


def test_background_takes_the_places_of_missing_true_boxes():
    positive, negative = sample_boxes(np.array([0, *[BACKGROUND] * 9]), 6, 0.5, np.random.default_rng(0))
    assert len(positive) == 1
    assert len(negative) == 5


def test_each_is_as_likely_as_another_and_a_seed_decides():
    counts = np.zeros(len(ASSIGNED))
    for seed in range(2000):
        positive, negative = sampled(4, 0.5, seed)
        counts[positive] += 1
        counts[negative] += 1
    expected = np.where(ASSIGNED == IGNORED, 0, 1000)
    assert (np.abs(counts - expected) <= np.where(expected, 112, 0)).all()  # five standard deviations
    for one, other in zip(sampled(4, 0.5, 7), sampled(4, 0.5, 7), strict=True):
        np.testing.assert_array_equal(one, other)


def test_true_boxes_are_added_before_proposals_but_not_crowds():
    true_boxes, boxes = np.arange(12.0).reshape(3, 4), np.ones((2, 4))
    added, assigned = add_true_boxes(boxes, np.array([BACKGROUND, 2]), true_boxes, np.array([False, True, False]))
    np.testing.assert_array_equal(added, np.concatenate([true_boxes[[0, 2]], boxes]))
    np.testing.assert_array_equal(assigned, [0, 2, BACKGROUND, 2])
    added, assigned = add_true_boxes(boxes[:0], np.zeros(0, np.int64), true_boxes[:0])
    assert added.shape == (0, 4)
    assert assigned.shape == (0,)
    assert assigned.dtype == np.int64


def test_of_no_boxes_none_are_drawn():
    positive, negative = sample_boxes(np.zeros(0, np.int64), 4, 0.5, np.random.default_rng(0))
    assert len(positive) == len(negative) == 0


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("assigned", (ASSIGNED.astype(float), 4, 0.5, np.random.default_rng(0))),
        ("count", (ASSIGNED, -1, 0.5, np.random.default_rng(0))),
        ("positive_share", (ASSIGNED, 4, 1.5, np.random.default_rng(0))),
        ("rng", (ASSIGNED, 4, 0.5, None)),
    ],
)
def test_wrong_arguments_are_named(name, arguments):
    with pytest.raises(ValueError, match=f"^{name}: got"):
        sample_boxes(*arguments)
