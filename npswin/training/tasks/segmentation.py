"""Semantic segmentation: a class for each pixel."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from npswin.checks import check_flag, check_number, check_numbers, shown
from npswin.data import (
    SegmentationDataset,
    SegmentationSample,
    distort_colours,
    load_samples,
    normalize_padded,
    padded_batch,
    random_crop_sample,
    random_flip_sample,
    random_rescale,
    sample_statistics,
    size_within,
)
from npswin.data.sample_transforms import LARGEST_SIDE, check_image_size
from npswin.data.samples import IGNORED
from npswin.devices import to_device_of
from npswin.files import counted
from npswin.progress import with_progress
from npswin.training.config import TrainConfig, check_without_classification
from npswin.training.gradients import require_finite_forward
from npswin.training.inputs import as_input
from npswin.training.normalization import Normalization
from npswin.training.segmentation_metric import SegmentationScores
from npswin.training.tasks.metric import LOSS, Metric
from npswin.training.tasks.segmentation_evaluation import (
    check_segmentation_data,
    evaluate_segmentation,
    predict_segmentation,
)
from npswin.training.trainable import check_model
from npswin.types import Array

MEAN_IOU = Metric("mean_iou", "Mean IoU")


@dataclass(frozen=True)
class SegmentationTask:
    """Images of a `SegmentationDataset`, and the losses of a model such as `UPerNet`.

    The defaults are the augmentation of the official recipe on ADE20K (Liu et al. 2021, section 4.3), that of
    MMSegmentation, in its order: rescale, crop, flip, distort the colours. Two things differ. There, every crop is
    padded to `crop_size`, here to the largest of its batch. There, a batch's loss is divided by the number of all its
    pixels, ignored ones and padding among them (avg_non_ignore=False), here by that of the pixels that have a label, as
    in transformers: the more pixels are ignored, the larger is the loss here in comparison.

    Attributes:
        crop_size: height and width of the crops; a smaller image stays as it is, and is padded to the others.
        shorter: that an image's shorter side has at most, before a crop with a ratio of 1, and in an evaluation.
        longer: that its longer side has at most.
        ratios: the smallest and the largest ratio by which that size is multiplied in training.
        largest_share: of one class in a crop, see `npswin.data.random_crop_sample`.
        flip: whether images are mirrored left and right with probability 1/2.
        colours: whether brightness, contrast, saturation and hue are changed.

    Raises:
        ValueError: a value is out of its range; the message names it.
    """

    crop_size: tuple[int, int] = (512, 512)
    shorter: int = 512
    longer: int = 2048
    ratios: tuple[float, float] = (0.5, 2.0)
    largest_share: float = 0.75
    flip: bool = True
    colours: bool = True

    loss_label = "cross-entropy (nats)"
    metrics = (Metric("pixel_accuracy", "Pixel accuracy"), Metric("mean_accuracy", "Mean accuracy"), MEAN_IOU)
    main_metric = MEAN_IOU

    def __post_init__(self) -> None:
        size_within((1, 1), self.shorter, self.longer)  # checks them
        ratios = check_numbers("ratios", self.ratios, 2, above=0, at_most=100)
        if ratios[0] > ratios[1]:
            raise ValueError(f"ratios: got {shown(self.ratios)}, expected the smaller number first")
        if self.longer * ratios[1] > LARGEST_SIDE:
            got = f"got {self.longer} and {shown(self.ratios)}"
            raise ValueError(f"longer, ratios: {got}, expected a longer side of at most {LARGEST_SIDE} in training")
        checked = {
            "crop_size": check_image_size("crop_size", self.crop_size),
            "shorter": int(self.shorter),
            "longer": int(self.longer),
            "ratios": ratios,
            "largest_share": check_number("largest_share", self.largest_share, above=0, at_most=1),
            "flip": check_flag("flip", self.flip),
            "colours": check_flag("colours", self.colours),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    def check(
        self, model: Any, train_data: SegmentationDataset, test_data: SegmentationDataset, config: TrainConfig
    ) -> None:
        """Channels and classes of both data sets are the model's, and the recipe has no setting of classification.

        A step has as many images as the model needs, its `smallest_batch` if it has one.
        """
        needed = ("params", "grads", "dtype", "in_chans", "num_classes", "config", "loss_names", "loss_forward")
        check_model(model, *needed, "loss_backward", "__call__")
        check_segmentation_data("train_data", train_data, model)
        check_segmentation_data("test_data", test_data, model)
        if train_data.class_names != test_data.class_names:
            names = ", ".join(train_data.class_names)
            raise ValueError(f"test_data: its class names are not those of train_data, {names}")
        check_without_classification(config)
        _check_batches(getattr(model, "smallest_batch", 1), len(train_data), config)

    def loss_names(self, model: Any) -> tuple[str, ...]:
        """The model's losses, of which "loss" is the sum."""
        return (LOSS.name, *model.loss_names)

    def describe(self, train_data: SegmentationDataset) -> dict[str, Any]:
        """The names of the classes, and the settings."""
        return {"class_names": list(train_data.class_names), "task": {"name": "segmentation", **asdict(self)}}

    def channel_statistics(self, train_data: SegmentationDataset) -> Normalization:
        """See `npswin.data.sample_statistics`, which reads all images."""
        images = with_progress("mean and deviation of the images", train_data, len(train_data))
        return sample_statistics(images)

    def load(
        self, dataset: SegmentationDataset, index_batches: Sequence[Array], like: Array, seed: int, epoch: int
    ) -> Generator[list[SegmentationSample], None, None]:
        """The samples of each batch, augmented in background threads; see `npswin.data.load_samples`."""
        yield from load_samples(dataset, index_batches, self.augment, seed, epoch)

    def augment(self, sample: SegmentationSample, rng: np.random.Generator) -> SegmentationSample:
        """A sample as it is trained on."""
        sample = random_rescale(sample, rng, self.shorter, self.longer, self.ratios)
        sample = random_crop_sample(sample, rng, self.crop_size, self.largest_share)
        sample = random_flip_sample(sample, rng) if self.flip else sample
        return distort_colours(sample, rng) if self.colours else sample

    def prepare(
        self,
        samples: Sequence[SegmentationSample],
        model: Any,
        normalization: Normalization,
        precision: str,
        rng: np.random.Generator,
    ) -> tuple[Array, Array]:
        """Inputs (B, c, H, W) and labels (B, H, W), padded to the largest of the samples."""
        batch = padded_batch(list(samples), divisor=1)
        inputs = as_input(model, normalize_padded(batch.images, batch.sizes, *normalization, model.dtype), precision)
        return inputs, to_device_of(batch.labels, inputs)

    def size(self, targets: Array) -> int:
        """The number of pixels that have a label: the losses are means over them."""
        return int((targets != IGNORED).sum())

    def forward_backward(
        self, model: Any, inputs: Array, targets: Array, rng: np.random.Generator, scale: Any
    ) -> dict[str, Any]:
        """The model's losses and their sum."""
        terms, cache = model.loss_forward(inputs, targets, rng)
        losses = {LOSS.name: sum(terms.values()), **terms}
        require_finite_forward(model, inputs, {}, losses)
        model.loss_backward(cache, scale)
        return losses

    def evaluate(
        self,
        model: Any,
        dataset: SegmentationDataset,
        normalization: Normalization,
        precision: str,
        each_batch: Callable[[int], None],
    ) -> SegmentationScores:
        """Mean intersection over union; see `npswin.training.evaluate_segmentation`."""
        return evaluate_segmentation(model, dataset, *normalization, self.shorter, self.longer, each_batch, precision)

    def predict(self, model: Any, image: Array, normalization: Normalization) -> Array:
        """The class of each pixel; see `npswin.training.predict_segmentation`."""
        return predict_segmentation(model, image, *normalization, self.shorter, self.longer)


def _check_batches(smallest: int, images: int, config: TrainConfig) -> None:
    """Raise a ValueError unless each part of a batch that is computed at once has so many images."""
    expected = f"expected {smallest} or more, from which the model's batch norms compute a variance"
    if images < smallest:
        raise ValueError(f"train_data: got {counted(images, 'image')}, {expected}")
    if config.batch_size < smallest:
        raise ValueError(f"batch_size: got {config.batch_size}, {expected}")
    batch = min(images, config.batch_size)
    if batch // min(config.micro_batches, batch) < smallest:
        parts = f"got {config.micro_batches} for batches of {counted(batch, 'image')}"
        raise ValueError(f"micro_batches: {parts}, {expected} in each")
