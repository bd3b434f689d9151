"""Loss and accuracy of a model on a data set, and the classes of single images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from npswin.backends import capture
from npswin.checks import check_callable, check_size
from npswin.data import ImageDataset, normalize
from npswin.data.dataset import PIXEL_DTYPES, check_normalization
from npswin.data.sample_transforms import check_image_size, resize_image
from npswin.data.samples import check_axes
from npswin.devices import on_gpu, to_host
from npswin.layers.loss import cross_entropy
from npswin.ops.softmax import softmax_forward
from npswin.training.gradients import require_finite_forward
from npswin.training.inputs import as_input, check_precision, products_in
from npswin.training.tasks.classification_inputs import check_dataset, load_batches
from npswin.training.terminal import print_stderr
from npswin.training.trainable import Classifier, check_model
from npswin.types import Array


@dataclass(frozen=True)
class Evaluation:
    """The result of `evaluate`.

    Attributes:
        loss: mean cross-entropy in nats, without label smoothing.
        accuracy: share of the images whose largest logit is their label's, in [0, 1].
        images: number of images.
    """

    loss: float
    accuracy: float
    images: int


def evaluate(
    model: Classifier,
    dataset: ImageDataset,
    mean: Sequence[float],
    std: Sequence[float],
    batch_size: int | None = None,
    each_batch: Callable[[int], None] | None = None,
    precision: str = "full",
) -> Evaluation:
    """Loss and accuracy over a whole data set.

    Args:
        model: used in inference, without dropout.
        dataset: N images.
        mean: of each channel, as the training images were normalized with.
        std: the same.
        batch_size: images at a time; None for 100, on a GPU 500.
        each_batch: called after each batch with the number of its images.
        precision: see `npswin.TrainConfig`.

    Raises:
        ValueError: an argument that does not fit, named; or the precision needs a GPU or another processor.
        NonFiniteError: a forward pass gave NaN or infinity.
    """
    check_model(model, "params", "dtype", "in_chans", "num_classes", "__call__")
    check_dataset("dataset", dataset, model)
    mean, std = check_normalization(("mean", "std"), (mean, std), model.in_chans, model.dtype)
    check_precision(model, precision)
    if each_batch is not None:
        check_callable("each_batch", each_batch)
    like = next(iter(model.params.values()))
    default = 500 if on_gpu(like) else 100
    size = default if batch_size is None else check_size("batch_size", batch_size)
    index_batches = np.split(np.arange(len(dataset)), range(size, len(dataset), size))
    captured_model, captured_shape = None, ()
    total_loss, correct = 0.0, 0
    with products_in(model, precision), np.errstate(all="ignore"):  # `require_finite_forward` checks
        for pixels, labels in load_batches(dataset, index_batches, like):
            images = as_input(model, normalize(pixels, mean, std, model.dtype), precision)
            if on_gpu(images) and len(index_batches) > 2 and captured_model is None:
                captured_model, captured_shape = _captured(model, images), images.shape
            fits_graph = images.shape == captured_shape
            logits = captured_model(images) if captured_model is not None and fits_graph else model(images)
            loss, _ = cross_entropy(logits, labels)
            require_finite_forward(model, images, {"logits": logits}, {"loss": loss}, sync_gpu=True)
            predicted = logits.astype(np.float32).argmax(axis=1)
            total_loss += float(loss) * len(labels)
            correct += int((predicted == labels).sum())
            if each_batch is not None:
                each_batch(len(labels))
    return Evaluation(total_loss / len(dataset), correct / len(dataset), len(dataset))


def _captured(model: Classifier, images: Array) -> Callable[[Array], Array]:
    """The model as a CUDA graph, or the model itself where capturing fails."""
    try:
        return capture(model, images)
    except (RuntimeError, MemoryError) as error:
        print_stderr(f"no CUDA graph, the kernels of the evaluation are launched one by one: {error}")
        return model


def predict_classes(
    model: Classifier, image: Array, mean: Sequence[float], std: Sequence[float], precision: str = "full"
) -> Array:
    """The probability of each class for an image, which is resized to the model's `img_size` if it has one.

    Args:
        model, mean, std, precision: see `evaluate`.
        image: (c, H, W) uint8 or uint16, of any size. Its aspect ratio is not kept, as the model's size has its own.

    Returns:
        (K,) float32, which sum up to 1; NumPy's.

    Raises:
        ValueError: an argument that does not fit, named; or the precision needs a GPU or another processor.
        ImportError: Pillow, which resizes images, is not installed.
        NonFiniteError: the forward pass gave NaN or infinity.
    """
    check_model(model, "params", "dtype", "in_chans", "num_classes", "config", "__call__")
    mean, std = check_normalization(("mean", "std"), (mean, std), model.in_chans, model.dtype)
    check_precision(model, precision)
    check_axes("image", image, (model.in_chans, "H", "W"), PIXEL_DTYPES)
    check_image_size("image", image.shape[1:])
    size = model.config.get("img_size")
    size = image.shape[1:] if size is None else (size, size) if isinstance(size, int) else tuple(size)
    pixels = image if size == image.shape[1:] else resize_image(image, size)
    images = as_input(model, normalize(pixels[None], mean, std, model.dtype), precision)
    with products_in(model, precision):
        logits = model(images)
    require_finite_forward(model, images, {"logits": logits}, {}, sync_gpu=True)
    return softmax_forward(to_host(logits[0]).astype(np.float32))[0]
