"""Mean intersection over union, the measure of semantic segmentation, from counts of pixels.

Counts of parts of a data set are added; the measure is computed from the sum (Long et al. 2015, "Fully Convolutional
Networks for Semantic Segmentation", section 5, where n_ij are the counts). The mean of each image's measure would be
another number.
"""

from dataclasses import dataclass

import numpy as np

from npswin.checks import check_array, check_integer, check_size, describe
from npswin.data.samples import IGNORED
from npswin.types import Array


def count_pixels(labels: Array, predictions: Array, num_classes: int, ignore_index: int = IGNORED) -> Array:
    """How often each label was predicted as each class.

    Args:
        labels: integers of any shape, from 0 to K - 1, or `ignore_index`.
        predictions: integers of this shape, from 0 to K - 1.
        num_classes: K.
        ignore_index: the label of pixels that are not counted.

    Returns:
        (K, K) int64: in row i and column j the number of pixels with label i and prediction j. The matrix of a data
        set is the sum of those of its images.

    Raises:
        ValueError: the arrays are not of integers or not of one shape, or a number is no class.
    """
    num_classes, ignore_index = check_size("num_classes", num_classes), check_integer("ignore_index", ignore_index)
    for name, array in (("labels", labels), ("predictions", predictions)):
        if check_array(name, array).dtype.kind not in "iu" or array.shape != labels.shape:
            raise ValueError(f"{name}: got {describe(array)}, expected integers, both arrays of one shape")
    counted = labels != ignore_index
    rows, columns = (array[counted].astype(np.int64) for array in (labels, predictions))
    for name, array in (("labels", rows), ("predictions", columns)):
        if array.size and not 0 <= array.min() <= array.max() < num_classes:
            raise ValueError(f"{name}: got {array.min()} to {array.max()}, expected 0 to {num_classes - 1}")
    return np.bincount(rows * num_classes + columns, minlength=num_classes**2).reshape(num_classes, num_classes)


@dataclass(frozen=True)
class SegmentationScores:
    """How well classes of pixels are predicted; all from 0 to 1.

    Attributes:
        iou: of each class, the pixels with both label and prediction divided by those with one of them; NaN for a class
            that is neither among the labels nor predicted.
        accuracy: of each class, the share of its pixels that is predicted; NaN for a class without pixels.
        mean_iou, mean_accuracy: over the classes that have them; NaN if none has.
        pixel_accuracy: the share of all pixels that are predicted; NaN if there is no pixel.
    """

    iou: tuple[float, ...]
    accuracy: tuple[float, ...]
    mean_iou: float
    mean_accuracy: float
    pixel_accuracy: float


def segmentation_scores(counts: Array) -> SegmentationScores:
    """The measures of a matrix of counts.

    Args:
        counts: (K, K) integers, as `count_pixels` returns them, or a sum of such.

    Raises:
        ValueError: `counts` is of another kind, or has a negative number.
    """
    expected = "integers of shape (K, K), none negative"
    if check_array("counts", counts, expected).ndim != 2 or counts.shape[0] != counts.shape[1] or not counts.size:
        raise ValueError(f"counts: got {describe(counts)}, expected {expected}")
    if counts.dtype.kind not in "iu" or counts.min() < 0:
        raise ValueError(f"counts: got {describe(counts)} from {counts.min()}, expected {expected}")
    right, of_label, of_prediction = np.diagonal(counts), counts.sum(axis=1), counts.sum(axis=0)
    iou, accuracy = _share(right, of_label + of_prediction - right), _share(right, of_label)
    return SegmentationScores(
        iou=tuple(iou.tolist()),
        accuracy=tuple(accuracy.tolist()),
        mean_iou=_mean(iou),
        mean_accuracy=_mean(accuracy),
        pixel_accuracy=float(_share(right.sum(), counts.sum())),
    )


def _share(part: Array, whole: Array) -> Array:
    """part / whole, NaN where the whole is 0."""
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def _mean(values: Array) -> float:
    """Of the values that are not NaN; NaN if all are."""
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else float("nan")
