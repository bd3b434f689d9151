import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npswin.training.segmentation_metric import count_pixels, segmentation_scores


def brute_force(labels, predictions, classes):
    """IoU and accuracy of each class from sets of pixels, over all images together; None where there is none."""
    counted = {index for index, label in np.ndenumerate(labels) if label != 255}
    ious, accuracies = [], []
    for one in range(classes):
        true = {index for index in counted if labels[index] == one}
        found = {index for index in counted if predictions[index] == one}
        ious.append(len(true & found) / len(true | found) if true | found else None)
        accuracies.append(len(true & found) / len(true) if true else None)
    right = sum(labels[index] == predictions[index] for index in counted)
    return ious, accuracies, right / len(counted) if counted else None


def mean(values):
    values = [value for value in values if value is not None]
    return sum(values) / len(values) if values else np.nan


@given(st.integers(1, 6), st.integers(1, 4), st.integers(0, 2**32), st.booleans())
def test_it_is_what_sets_of_pixels_give(classes, images, seed, sparse):
    rng = np.random.default_rng(seed)
    present = rng.integers(1, classes + 1) if sparse else classes  # the others are absent
    labels, predictions = rng.integers(0, present, (2, images, 4, 5))
    labels[rng.random(labels.shape) < rng.choice([0, 0.3, 1])] = 255
    counts = sum(count_pixels(*pair, classes) for pair in zip(labels, predictions, strict=True))
    scores = segmentation_scores(counts)
    ious, accuracies, pixel_accuracy = brute_force(labels, predictions, classes)
    as_numbers = [np.array(values, float) for values in (ious, accuracies)]
    np.testing.assert_allclose(scores.iou, as_numbers[0], rtol=1e-14)
    np.testing.assert_allclose(scores.accuracy, as_numbers[1], rtol=1e-14)
    np.testing.assert_allclose(scores.mean_iou, mean(ious), rtol=1e-14)
    np.testing.assert_allclose(scores.mean_accuracy, mean(accuracies), rtol=1e-14)
    np.testing.assert_allclose(scores.pixel_accuracy, np.array(pixel_accuracy, float), rtol=1e-14)


def test_counts_of_labels_and_predictions():
    labels = np.array([[0, 0, 1], [1, 255, 2]], np.uint8)
    predictions = np.array([[0, 1, 1], [1, 0, 0]])
    expected = [[1, 1, 0], [0, 2, 0], [1, 0, 0]]
    np.testing.assert_array_equal(count_pixels(labels, predictions, 3), expected)
    np.testing.assert_array_equal(count_pixels(np.where(labels == 255, 7, labels), predictions, 3, 7), expected)


def test_a_class_that_is_only_predicted_counts_and_an_absent_one_does_not():
    scores = segmentation_scores(np.array([[3, 1, 0], [0, 0, 0], [0, 0, 0]]))
    np.testing.assert_array_equal(scores.iou, [0.75, 0, np.nan])
    np.testing.assert_array_equal(scores.accuracy, [0.75, np.nan, np.nan])
    assert (scores.mean_iou, scores.mean_accuracy, scores.pixel_accuracy) == (0.375, 0.75, 0.75)


@pytest.mark.parametrize(
    ("labels", "predictions", "match"),
    [
        (np.zeros((2, 3)), np.zeros((2, 3), int), "labels: got float64"),
        (np.zeros((2, 3), int), np.zeros((3, 2), int), r"predictions: got int64 of shape \(3, 2\)"),
        (np.full((2, 3), 3), np.zeros((2, 3), int), "labels: got 3 to 3, expected 0 to 2"),
        (np.zeros((2, 3), int), np.full((2, 3), -1), "predictions: got -1 to -1, expected 0 to 2"),
        (None, np.zeros((2, 3), int), "labels: got None"),
    ],
)
def test_wrong_pixels(labels, predictions, match):
    with pytest.raises(ValueError, match=match):
        count_pixels(labels, predictions, 3)


@pytest.mark.parametrize(
    "counts", [None, np.zeros((2, 3), int), np.zeros((2, 2)), -np.eye(2, dtype=int), np.zeros(4, int)]
)
def test_wrong_counts(counts):
    with pytest.raises(ValueError, match="counts: got"):
        segmentation_scores(counts)
