"""Average precision of a detector on a data set."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from npswin.checks import check_callable, check_flag, check_instance
from npswin.data import (
    DetectionDataset,
    Detections,
    DetectionSample,
    load_samples,
    normalize_padded,
    padded_batch,
    resize_sample,
    size_within,
)
from npswin.data.formats.object_files import has_objects
from npswin.training.detection_metric import AveragePrecision, DetectionScores
from npswin.training.inputs import as_input, check_image, check_prediction, products_in
from npswin.training.trainable import check_model
from npswin.types import Array

PADDED_TO = 32  # heights and widths are padded to its multiples, as in the official code
_NEEDED = ("params", "dtype", "in_chans", "num_classes", "detect")  # of a model


@dataclass(frozen=True)
class DetectionEvaluation:
    """The result of `evaluate_detection`.

    Attributes:
        boxes: average precision of the boxes.
        masks: of the masks; None where only boxes were evaluated.
    """

    boxes: DetectionScores
    masks: DetectionScores | None

    @property
    def box_ap(self) -> float:
        """Of the boxes, over all thresholds."""
        return self.boxes.ap

    @property
    def box_ap50(self) -> float:
        """Of the boxes, at an intersection over union of 0.5."""
        return self.boxes.ap50

    @property
    def mask_ap(self) -> float:
        """Of the masks, over all thresholds; NaN where only boxes were evaluated."""
        return float("nan") if self.masks is None else self.masks.ap

    @property
    def mask_ap50(self) -> float:
        """Of the masks, at an intersection over union of 0.5; NaN where only boxes were evaluated."""
        return float("nan") if self.masks is None else self.masks.ap50


def check_detection_data(name: str, dataset: DetectionDataset, model: Any, masks: bool) -> None:
    """Raise a ValueError unless a data set has objects, and channels, classes and masks are those the model needs."""
    check_instance(name, dataset, DetectionDataset, "a DetectionDataset")
    channels, classes = len(dataset[0].image), len(dataset.class_names)
    if channels != model.in_chans:
        raise ValueError(f"{name}: has {channels} channels, the model takes {model.in_chans} (its in_chans)")
    if classes != model.num_classes:
        raise ValueError(f"{name}: has {classes} classes, the model has {model.num_classes} (its num_classes)")
    if masks and not dataset.has_masks:
        raise ValueError(f"{name}: has boxes without masks, expected masks (or a model and a task with masks=False)")
    if not has_objects(dataset):
        raise ValueError(f"{name}: has no object, or only crowds, expected some to find")


def evaluate_detection(
    model: Any,
    dataset: DetectionDataset,
    mean: Sequence[float],
    std: Sequence[float],
    shorter: int = 800,
    longer: int = 1333,
    masks: bool = True,
    each_image: Callable[[int], None] | None = None,
    precision: str = "full",
    max_detections: int = 100,
) -> DetectionEvaluation:
    """Average precision over a whole data set.

    Args:
        model: used in inference, such as a `MaskRCNN`.
        dataset: N images, with objects.
        mean: of each channel, as the training images were normalized with.
        std: the same.
        shorter: that an image's shorter side has at most.
        longer: that its longer side has at most.
        masks: whether masks are evaluated, too.
        each_image: called after each image with the number 1.
        precision: see `npswin.TrainConfig`.
        max_detections: the detections of an image and a class that count, see `AveragePrecision`.

    Raises:
        ValueError: an argument that does not fit, named; the precision needs a GPU or another processor; or there is
            no object to find.
        ImportError: pycocotools, which computes average precision, or Pillow is not installed.
    """
    check_model(model, *_NEEDED)
    check_detection_data("dataset", dataset, model, check_flag("masks", masks))
    mean, std = check_prediction(model, mean, std, shorter, longer, precision)
    if each_image is not None:
        check_callable("each_image", each_image)
    collected = AveragePrecision(model.num_classes, max_detections)
    for (sample,) in load_samples(dataset, np.arange(len(dataset))[:, None]):
        found = predict_detections(model, sample.image, mean, std, shorter, longer, masks, precision)
        collected.add(sample, found)
        if each_image is not None:
            each_image(1)
    return DetectionEvaluation(collected.box_scores(), collected.mask_scores() if masks else None)


def predict_detections(
    model: Any,
    image: Array,
    mean: Sequence[float],
    std: Sequence[float],
    shorter: int = 800,
    longer: int = 1333,
    masks: bool = True,
    precision: str = "full",
) -> Detections:
    """The objects in an image, by falling score.

    The image is resized for the model; boxes and masks are those of the image as it is given.

    Args:
        model, mean, std, shorter, longer, masks, precision: see `evaluate_detection`.
        image: (c, H, W) uint8.

    Raises:
        ValueError, ImportError: see `evaluate_detection`.
    """
    check_model(model, *_NEEDED)
    mean, std = check_prediction(model, mean, std, shorter, longer, precision)
    masks = check_flag("masks", masks)
    height, width = check_image(image, model).shape[1:]
    none = DetectionSample(image, np.zeros((0, 4)), np.zeros(0, np.int64), None, np.zeros(0, bool))
    resized = resize_sample(none, size_within((height, width), shorter, longer))
    batch = padded_batch([resized], PADDED_TO)
    inputs = as_input(model, normalize_padded(batch.images, batch.sizes, mean, std, model.dtype), precision)
    with products_in(model, precision):
        (found,) = model.detect(inputs, batch.sizes)
    (own_height, own_width), limits = resized.image.shape[1:], np.array([width, height, width, height])
    boxes = np.clip(found.boxes * (limits / [own_width, own_height, own_width, own_height]), 0, limits)
    pasted = found.at_size(boxes, (height, width)).masks() if masks else None
    return Detections(boxes, found.labels, found.scores, pasted)
