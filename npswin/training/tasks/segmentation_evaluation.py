"""Mean intersection over union of a model on a data set."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from npswin.backends import dispatch
from npswin.checks import check_callable, check_instance
from npswin.data import (
    SegmentationDataset,
    SegmentationSample,
    load_samples,
    normalize,
    resize_sample,
    size_within,
)
from npswin.data.sample_datasets import has_labels
from npswin.devices import to_host
from npswin.training.gradients import require_finite_forward
from npswin.training.inputs import as_input, check_image, check_prediction, products_in
from npswin.training.segmentation_metric import SegmentationScores, count_pixels, segmentation_scores
from npswin.training.trainable import check_model
from npswin.types import Array

_NEEDED = ("params", "dtype", "in_chans", "num_classes", "__call__")  # of a model


def check_segmentation_data(name: str, dataset: SegmentationDataset, model: Any) -> None:
    """Raise a ValueError unless a data set has labels, and its channels and classes are those of the model."""
    check_instance(name, dataset, SegmentationDataset, "a SegmentationDataset")
    channels, classes = len(dataset[0].image), len(dataset.class_names)
    if channels != model.in_chans:
        raise ValueError(f"{name}: has {channels} channels, the model takes {model.in_chans} (its in_chans)")
    if classes != model.num_classes:
        raise ValueError(f"{name}: has {classes} classes, the model has {model.num_classes} (its num_classes)")
    if not has_labels(dataset):
        raise ValueError(f"{name}: has no pixel with a label, all are ignored, expected some of a class")


def evaluate_segmentation(
    model: Any,
    dataset: SegmentationDataset,
    mean: Sequence[float],
    std: Sequence[float],
    shorter: int = 512,
    longer: int = 2048,
    each_image: Callable[[int], None] | None = None,
    precision: str = "full",
) -> SegmentationScores:
    """Mean intersection over union, and other measures, over a whole data set.

    Each image is resized as in training but for the random ratio; the logits are resized to the label map, as the
    official code does for its results.

    Args:
        model: used in inference: images (1, c, h, w) -> logits (1, h, w, K).
        dataset: N images.
        mean: of each channel, as the training images were normalized with.
        std: the same.
        shorter: that an image's shorter side has at most.
        longer: that its longer side has at most.
        each_image: called after each image with the number 1.
        precision: see `npswin.TrainConfig`.

    Raises:
        ValueError: an argument that does not fit, named; the precision needs a GPU or another processor; or no pixel
            has a label.
        ImportError: Pillow, which resizes images, is not installed.
        NonFiniteError: a forward pass gave NaN or infinity.
    """
    check_model(model, *_NEEDED)
    check_segmentation_data("dataset", dataset, model)
    mean, std = check_prediction(model, mean, std, shorter, longer, precision)
    if each_image is not None:
        check_callable("each_image", each_image)
    counts = np.zeros((model.num_classes, model.num_classes), np.int64)
    with np.errstate(all="ignore"):  # `require_finite_forward` checks
        for (sample,) in load_samples(dataset, np.arange(len(dataset))[:, None]):
            predicted = predict_segmentation(model, sample.image, mean, std, shorter, longer, precision)
            counts += count_pixels(sample.labels, predicted, model.num_classes)
            if each_image is not None:
                each_image(1)
    return segmentation_scores(counts)


def predict_segmentation(
    model: Any,
    image: Array,
    mean: Sequence[float],
    std: Sequence[float],
    shorter: int = 512,
    longer: int = 2048,
    precision: str = "full",
) -> Array:
    """The class of each pixel of an image.

    Args:
        model, mean, std, shorter, longer, precision: see `evaluate_segmentation`.
        image: (c, H, W) uint8.

    Returns:
        (H, W) int64, NumPy's.

    Raises:
        ValueError, ImportError, NonFiniteError: see `evaluate_segmentation`.
    """
    check_model(model, *_NEEDED)
    mean, std = check_prediction(model, mean, std, shorter, longer, precision)
    check_image(image, model)
    sample = SegmentationSample(image, np.zeros(image.shape[1:], np.uint8))
    pixels = resize_sample(sample, size_within(image.shape[1:], shorter, longer)).image[None]
    images = as_input(model, normalize(pixels, mean, std, model.dtype), precision)
    with products_in(model, precision):
        logits = model(images)
    require_finite_forward(model, images, {"logits": logits}, {}, sync_gpu=True)
    resized = logits if logits.shape[1:3] == image.shape[1:] else dispatch.resize_bilinear(logits, image.shape[1:])
    return to_host(resized[0].argmax(axis=-1))
