"""A model's predictions on test images."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from npswin.checks import check_path
from npswin.data import ImageDataset, normalize
from npswin.devices import to_host
from npswin.ops.softmax import softmax_forward
from npswin.training.inputs import as_input
from npswin.training.pictures.style import BLUE, GREY, RED, new_figure, save_figure, show_image, shown_channels
from npswin.training.tasks.classification_inputs import check_dataset
from npswin.training.trainable import Classifier, check_model
from npswin.types import Array

_COLUMNS, _ROWS = 8, 3
_IMAGES = 500  # among which the most confident mistakes are searched


def draw_predictions(
    model: Classifier, dataset: ImageDataset, mean: Sequence[float], std: Sequence[float], path: str | os.PathLike[str]
) -> None:
    """The first 24 images with their predicted classes, and the most confident mistakes among the first 500.

    Args:
        model: used in inference.
        dataset: N images, preferably ones that the model has not been trained on.
        mean: of each channel, as the training images were normalized with.
        std: the same.
        path: the PNG file to write.

    Raises:
        ValueError: an argument that does not fit, named.
        ImportError: matplotlib is not installed.
        OSError: the file could not be written.
    """
    check_model(model, "params", "dtype", "in_chans", "num_classes", "__call__")
    check_dataset("dataset", dataset, model)
    path = check_path("path", path)
    images, labels = dataset.images[:_IMAGES], dataset.labels[:_IMAGES]
    logits = [
        to_host(model(as_input(model, normalize(images[start : start + 100], mean, std, model.dtype))))
        for start in range(0, len(images), 100)
    ]
    probabilities = softmax_forward(np.concatenate(logits))[0]
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    most_confident = wrong[np.argsort(-confidence[wrong], kind="stable")][:_COLUMNS]
    rows = [np.arange(len(images))[start : start + _COLUMNS] for start in range(0, _COLUMNS * _ROWS, _COLUMNS)]

    figure = new_figure(1.55 * _COLUMNS, 2.0 * (_ROWS + 1) + 1.0)
    sample, mistakes = figure.subfigures(2, 1, height_ratios=(_ROWS + 0.1, 1.15))
    name = f"{dataset.name}, {dataset.split} images{shown_channels(images.shape[1])}"
    right_count = len(images) - len(wrong)
    sample.suptitle(
        f"{name}: the first {min(len(images), _COLUMNS * _ROWS)}, with the model's predictions", weight="bold"
    )
    _fill(
        sample.subplots(_ROWS, _COLUMNS, squeeze=False),
        rows,
        images,
        labels,
        predicted,
        confidence,
        dataset.class_names,
    )
    mistakes.suptitle(
        f"Its most confident mistakes among the first {len(images)}, of which {right_count} are right",
        weight="bold",
        color=GREY,
    )
    _fill(
        mistakes.subplots(1, _COLUMNS, squeeze=False),
        [most_confident],
        images,
        labels,
        predicted,
        confidence,
        dataset.class_names,
    )
    save_figure(figure, path)


def _fill(
    grid: Any,
    rows: Sequence[Array],
    images: Array,
    labels: Array,
    predicted: Array,
    confidence: Array,
    class_names: Sequence[str],
) -> None:
    for axes in grid.flat:
        axes.set_axis_off()
    for row, indices in enumerate(rows):
        for column, index in enumerate(indices):
            axes = grid[row, column]
            axes.set_axis_on()
            show_image(axes, images[index])
            is_right = predicted[index] == labels[index]
            colour = BLUE if is_right else RED
            axes.spines[:].set(color=colour, linewidth=1.5 if is_right else 4)
            axes.set_title(
                f"{class_names[predicted[index]]} {100 * confidence[index]:.0f} %",
                fontsize=10,
                color=colour,
                weight="normal" if is_right else "bold",
                pad=5,
            )
            axes.set_xlabel("right" if is_right else f"✗ it is: {class_names[labels[index]]}", fontsize=9, color=colour)
