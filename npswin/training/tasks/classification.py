"""Classification: one class for each image."""

from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np

from npswin.backends import dispatch
from npswin.checks import check_array_like, check_instance, check_integer, check_number, describe, dtype_name
from npswin.data import ImageDataset, channel_statistics
from npswin.devices import on_gpu, to_device_of, to_host
from npswin.layers.loss import cross_entropy, target_distribution
from npswin.models.checks import check_image_shape
from npswin.training.config import TrainConfig
from npswin.training.gradients import batch_gradients, require_finite, require_finite_forward
from npswin.training.inputs import as_input
from npswin.training.normalization import Normalization
from npswin.training.tasks.classification_evaluation import Evaluation, evaluate, predict_classes
from npswin.training.tasks.classification_inputs import augment, check_augmentation, check_data, load_batches
from npswin.training.tasks.metric import ACCURACY, LOSS
from npswin.training.trainable import Classifier, check_model
from npswin.types import Array


class ClassificationTask:
    """Images of an `ImageDataset`, augmented by the recipe, and the cross-entropy of a `Classifier`'s logits.

    Args:
        config: its augmentations and its label smoothing are the task's.

    Raises:
        ValueError: it is no recipe.
    """

    loss_label = "cross-entropy (nats)"
    metrics = (LOSS, ACCURACY)
    main_metric = ACCURACY

    def __init__(self, config: TrainConfig) -> None:
        self.config: TrainConfig = check_instance("config", config, TrainConfig, "a TrainConfig")

    def check(self, model: Classifier, train_data: ImageDataset, test_data: ImageDataset, config: TrainConfig) -> None:
        """Channels and classes of both data sets are the model's, and the augmentations are defined for the images."""
        check_data(model, train_data, test_data)
        check_augmentation(self.config, train_data)

    def loss_names(self, model: Classifier) -> tuple[str, ...]:
        """One loss."""
        return (LOSS.name,)

    def describe(self, train_data: ImageDataset) -> dict[str, Any]:
        """The names of the classes."""
        return {"class_names": list(train_data.class_names)}

    def channel_statistics(self, train_data: ImageDataset) -> Normalization:
        """See `npswin.data.channel_statistics`."""
        return channel_statistics(train_data.images)

    def load(
        self, dataset: ImageDataset, index_batches: Sequence[Array], like: Array, seed: int, epoch: int
    ) -> Generator[tuple[Array, Array], None, None]:
        """Images and labels of each batch; see `load_batches`."""
        return load_batches(dataset, index_batches, like)

    def prepare(
        self,
        samples: tuple[Array, Array],
        model: Classifier,
        normalization: Normalization,
        precision: str,
        rng: np.random.Generator,
    ) -> tuple[Array, Array]:
        """Inputs (B, c, H, W) and targets, labels (B,) or soft ones (B, K); see `augment`."""
        inputs, targets = augment(*samples, model.num_classes, self.config, *normalization, model.dtype, rng)
        return as_input(model, inputs, precision), targets

    def size(self, targets: Array) -> int:
        """The number of images: the loss is a mean over them."""
        return len(targets)

    def forward_backward(
        self, model: Classifier, inputs: Array, targets: Array, rng: np.random.Generator, scale: Any
    ) -> dict[str, Any]:
        """The cross-entropy, whose derivative by the logits is the beginning of the model's backward pass."""
        if not on_gpu(inputs):
            require_finite("the input batch's", [("images", inputs)])
        logits, cache = model.forward(inputs, rng=rng)
        loss, dlogits = cross_entropy(logits, targets, self.config.label_smoothing, scale)
        losses = {LOSS.name: loss}
        require_finite_forward(model, inputs, {"logits": logits}, losses)
        model.backward(dlogits, cache)
        return losses

    def evaluate(
        self,
        model: Classifier,
        dataset: ImageDataset,
        normalization: Normalization,
        precision: str,
        each_batch: Callable[[int], None],
    ) -> Evaluation:
        """Loss and accuracy; see `npswin.training.evaluate`."""
        return evaluate(model, dataset, *normalization, each_batch=each_batch, precision=precision)

    def predict(self, model: Classifier, image: Array, normalization: Normalization) -> Array:
        """The probability of each class; see `npswin.training.predict_classes`."""
        return predict_classes(model, image, *normalization)

    def fixed_targets(self, model: Classifier, targets: Array) -> Array:
        """Soft targets (B, K)."""
        soft = target_distribution(targets, model.num_classes, self.config.label_smoothing, model.dtype)
        return to_device_of(soft, next(iter(model.params.values())))

    def captured_forward_backward(
        self, model: Classifier, inputs: Array, targets: Array, rng: np.random.Generator, scale: Array
    ) -> Array:
        """The cross-entropy with soft targets (B, K)."""
        logits, cache = model.forward(inputs, rng=rng)
        loss, loss_cache = dispatch.cross_entropy_forward(logits, targets)
        model.backward(dispatch.cross_entropy_backward(scale, loss_cache), cache)
        return loss


def compute_gradients(
    model: Classifier,
    images: Array,
    targets: Array,
    label_smoothing: float = 0.0,
    micro_batches: int = 1,
    seed: int = 0,
    loss_scale: float = 1.0,
) -> Any:
    """Set `model.grads` to the derivative of the batch's mean cross-entropy, times the loss scale.

    With several micro-batches the gradients are sums over them, each weighted by its share of the images: the same
    numbers but for rounding, from a smaller cache.

    Args:
        model: its `grads` are overwritten.
        images: (B, c, H, W) of a dtype that the model takes, on the model's device.
        targets: labels (B,) or soft targets (B, K).
        label_smoothing: see `npswin.cross_entropy`.
        micro_batches: their number; B where it is larger.
        seed: of the dropout masks.
        loss_scale: positive, see `batch_gradients`.

    Returns:
        The loss, a mean over the B images, not scaled; on a GPU a 0-dimensional array.

    Raises:
        ValueError: an argument that does not fit, named. The gradients are then those before.
        NonFiniteError: NaN or infinity in the images, the forward pass or the loss.
    """
    check_model(model, "zero_grad", "forward", "in_chans", "num_classes", "params", "dtype")
    check_image_shape(images, model.in_chans, "images")
    if images.dtype.kind != "f" and not on_gpu(images):
        raise ValueError(f"images: got dtype {dtype_name(images.dtype)}, expected floats")
    targets = check_array_like("targets", targets, "labels (B,) or soft targets (B, K)")
    targets = targets if on_gpu(images) else to_host(targets)
    if targets.ndim == 0 or len(targets) != len(images):
        raise ValueError(f"targets: got {describe(targets)}, expected {len(images)}, one for each of the images")
    targets = target_distribution(targets, model.num_classes, label_smoothing, model.dtype, "targets")
    micro_batches, seed = check_integer("micro_batches", micro_batches, 1), check_integer("seed", seed, 0)
    if not on_gpu(loss_scale):
        loss_scale = check_number("loss_scale", loss_scale, above=0, dtype=model.dtype)
    task = ClassificationTask(TrainConfig())  # the targets are smoothed already
    return batch_gradients(task, model, images, targets, micro_batches, seed, loss_scale)[LOSS.name]
