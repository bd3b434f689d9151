"""Object detection: a box, a class and, where the data have them, a mask for each object."""

import warnings
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from npswin.checks import check_flag, check_integer, check_size, shown
from npswin.data import (
    DetectionDataset,
    Detections,
    DetectionSample,
    load_samples,
    normalize_padded,
    padded_batch,
    random_crop_sample,
    random_flip_sample,
    random_resize,
    sample_statistics,
)
from npswin.data.formats.object_files import labels_in_memory
from npswin.data.sample_augment import SHORTER_SIDES
from npswin.data.sample_transforms import LARGEST_SIDE, check_image_size
from npswin.progress import with_progress
from npswin.training.config import TrainConfig, check_without_classification
from npswin.training.gradients import require_finite_forward
from npswin.training.inputs import as_input
from npswin.training.normalization import Normalization
from npswin.training.tasks.detection_evaluation import (
    PADDED_TO,
    DetectionEvaluation,
    check_detection_data,
    evaluate_detection,
    predict_detections,
)
from npswin.training.tasks.metric import LOSS, Metric
from npswin.training.trainable import check_model
from npswin.types import Array

BOX_METRICS = (Metric("box_ap50", "Box AP at IoU 0.5"), Metric("box_ap", "Box AP"))
MASK_METRICS = (Metric("mask_ap50", "Mask AP at IoU 0.5"), Metric("mask_ap", "Mask AP"))


@dataclass(frozen=True, eq=False)
class DetectionTargets:
    """The objects of the images of a batch.

    Attributes:
        sizes: (B, 2) integers, height and width of each image without its padding.
        samples: B samples, whose images are not read.
    """

    sizes: Array
    samples: tuple[DetectionSample, ...]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, part: slice) -> "DetectionTargets":
        return DetectionTargets(self.sizes[part], self.samples[part])


@dataclass(frozen=True)
class DetectionTask:
    """Images of a `DetectionDataset`, and the losses of a model such as `MaskRCNN`.

    The defaults are the augmentation of the official recipe on COCO (Liu et al. 2021, section 4.2): multi-scale
    training, as in DETR, without its crops.

    Attributes:
        shorter_sides: lengths of an image's shorter side, one of which is drawn in training.
        longer: that its longer side has at most.
        test_shorter: that its shorter side has at most in an evaluation.
        crop_size: height and width of the part of a resized image, at a random place, on which the model is trained; a
            smaller side stays as it is. None for whole images.
        flip: whether images are mirrored left and right with probability 1/2.
        masks: whether masks are evaluated as well; then their average precision chooses the best weights.
        max_detections: the detections of an image and a class that count in an evaluation; 100 by COCO's rules. Where
            images have more objects, the model's `detections` and this must be more, too.

    Raises:
        ValueError: a value is out of its range; the message names it.
    """

    shorter_sides: tuple[int, ...] = SHORTER_SIDES
    longer: int = 1333
    test_shorter: int = 800
    crop_size: tuple[int, int] | None = None
    flip: bool = True
    masks: bool = True
    max_detections: int = 100

    loss_label = "sum of the losses"

    def __post_init__(self) -> None:
        sides = self.shorter_sides
        if not isinstance(sides, list | tuple) or not sides:
            raise ValueError(f"shorter_sides: got {shown(sides)}, expected a tuple of lengths")
        sides = tuple(check_integer("shorter_sides", side, 1, LARGEST_SIDE) for side in sides)
        test_shorter = check_integer("test_shorter", self.test_shorter, 1, LARGEST_SIDE)
        checked = {
            "shorter_sides": sides,
            "test_shorter": test_shorter,
            "longer": check_integer("longer", self.longer, max(*sides, test_shorter), LARGEST_SIDE),
            "crop_size": None if self.crop_size is None else check_image_size("crop_size", self.crop_size),
            "flip": check_flag("flip", self.flip),
            "masks": check_flag("masks", self.masks),
            "max_detections": check_size("max_detections", self.max_detections),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Average precision of boxes and, if they are evaluated, of masks."""
        return (*BOX_METRICS, *MASK_METRICS) if self.masks else BOX_METRICS

    @property
    def main_metric(self) -> Metric:
        """The average precision over all thresholds: of masks, if they are evaluated."""
        return self.metrics[-1]

    def check(self, model: Any, train_data: DetectionDataset, test_data: DetectionDataset, config: TrainConfig) -> None:
        """Channels and classes of both data sets are the model's, and the recipe has no setting of classification.

        Where an image has more objects than can be found or count, there is a warning, if annotations are in memory.
        """
        needed = ("params", "grads", "dtype", "in_chans", "num_classes", "config", "loss_names", "loss_forward")
        check_model(model, *needed, "loss_backward", "detect")
        check_detection_data("train_data", train_data, model, self.masks)
        check_detection_data("test_data", test_data, model, self.masks)
        if train_data.class_names != test_data.class_names:
            names = ", ".join(train_data.class_names)
            raise ValueError(f"test_data: its class names are not those of train_data, {names}")
        check_without_classification(config)
        if text := _too_many_objects([train_data, test_data], model.config.get("detections"), self.max_detections):
            warnings.warn(text, stacklevel=3)

    def loss_names(self, model: Any) -> tuple[str, ...]:
        """The model's losses, of which "loss" is the sum."""
        return (LOSS.name, *model.loss_names)

    def describe(self, train_data: DetectionDataset) -> dict[str, Any]:
        """The names of the classes, their ids in files of results, and the settings."""
        settings = {**asdict(self), "shorter_sides": list(self.shorter_sides)}
        classes = {"class_names": list(train_data.class_names), "category_ids": list(train_data.category_ids)}
        return {**classes, "task": {"name": "detection", **settings}}

    def channel_statistics(self, train_data: DetectionDataset) -> Normalization:
        """See `npswin.data.sample_statistics`, which reads all images."""
        images = with_progress("mean and deviation of the images", train_data, len(train_data))
        return sample_statistics(images)

    def load(
        self, dataset: DetectionDataset, index_batches: Sequence[Array], like: Array, seed: int, epoch: int
    ) -> Generator[list[DetectionSample], None, None]:
        """The samples of each batch, augmented in background threads; see `npswin.data.load_samples`."""
        yield from load_samples(dataset, index_batches, self.augment, seed, epoch)

    def augment(self, sample: DetectionSample, rng: np.random.Generator) -> DetectionSample:
        """A sample as it is trained on."""
        sample = random_resize(sample, rng, self.shorter_sides, self.longer)
        if self.crop_size is not None:
            sample = random_crop_sample(sample, rng, self.crop_size)
        return random_flip_sample(sample, rng) if self.flip else sample

    def prepare(
        self,
        samples: Sequence[DetectionSample],
        model: Any,
        normalization: Normalization,
        precision: str,
        rng: np.random.Generator,
    ) -> tuple[Array, DetectionTargets]:
        """Inputs (B, c, H, W), padded to the largest of the samples, and their objects."""
        batch = padded_batch(list(samples), PADDED_TO)
        inputs = as_input(model, normalize_padded(batch.images, batch.sizes, *normalization, model.dtype), precision)
        return inputs, DetectionTargets(batch.sizes, batch.samples)

    def size(self, targets: DetectionTargets) -> int:
        """The number of images."""
        return len(targets)

    def forward_backward(
        self, model: Any, inputs: Array, targets: DetectionTargets, rng: np.random.Generator, scale: Any
    ) -> dict[str, Any]:
        """The model's losses and their sum."""
        terms, cache = model.loss_forward(inputs, targets.sizes, list(targets.samples), rng)
        losses = {LOSS.name: sum(terms.values()), **terms}
        require_finite_forward(model, inputs, {}, losses)
        model.loss_backward(cache, scale)
        return losses

    def evaluate(
        self,
        model: Any,
        dataset: DetectionDataset,
        normalization: Normalization,
        precision: str,
        each_batch: Callable[[int], None],
    ) -> DetectionEvaluation:
        """Average precision; see `npswin.training.evaluate_detection`."""
        sizes = self.test_shorter, self.longer
        return evaluate_detection(
            model, dataset, *normalization, *sizes, self.masks, each_batch, precision, self.max_detections
        )

    def predict(self, model: Any, image: Array, normalization: Normalization) -> Detections:
        """The objects in an image; see `npswin.training.predict_detections`."""
        return predict_detections(model, image, *normalization, self.test_shorter, self.longer, self.masks)


def _too_many_objects(datasets: Sequence[DetectionDataset], detections: int | None, max_detections: int) -> str:
    """A sentence where an image has more objects than the model finds, or of a class than count; else empty."""
    counts = [np.bincount(labels) for dataset in datasets for labels in labels_in_memory(dataset)]
    most = max((int(count.sum()) for count in counts), default=0)
    most_of_a_class = max((int(count.max(initial=0)) for count in counts), default=0)
    too_low = []
    if detections is not None and most > detections:
        too_low.append(f"an image has {most} objects, and the model finds at most {detections} (its detections)")
    if most_of_a_class > max_detections:
        count = f"{most_of_a_class} objects of a class, and {max_detections} of them"
        too_low.append(f"an image has {count} count in an evaluation (the task's max_detections)")
    return "; ".join(too_low)
