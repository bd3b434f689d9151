"""How well a model does on images that it has not been trained on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from npswin.backends import capture
from npswin.data import ImageDataset, normalize
from npswin.devices import on_gpu
from npswin.layers.loss import cross_entropy
from npswin.training.feed import feed
from npswin.training.finite import require_finite_forward
from npswin.training.progress import say
from npswin.training.trainable import Trainable, as_input
from npswin.types import Array


@dataclass(frozen=True)
class Evaluation:
    """The result of `evaluate`.

    Attributes:
        loss: mean cross-entropy in nats, without label smoothing.
        accuracy: share of the images whose largest logit is their label's, in [0, 1].
        images: how many images that was.
    """

    loss: float
    accuracy: float
    images: int


def evaluate(
    model: Trainable,
    dataset: ImageDataset,
    mean: Sequence[float],
    std: Sequence[float],
    batch_size: int | None = None,
    each_batch: Callable[[int], None] | None = None,
    precision: str = "full",
) -> Evaluation:
    """Loss and accuracy over a whole data set.

    Args:
        model: in inference; nothing is dropped.
        dataset: N images.
        mean: of each channel, as the training images were normalized with.
        std: the same.
        batch_size: images at a time; 100 where nothing is said, on a GPU 500.
        each_batch: called after each batch with the number of its images.
        precision: see `npswin.TrainConfig`.

    Raises:
        NonFiniteError: a forward pass came to NaN or infinity.
    """
    like = next(iter(model.params.values()))
    default = 500 if on_gpu(like) else 100
    size = default if batch_size is None else batch_size
    if size < 1:
        raise ValueError(f"batch_size: got {batch_size}, expected at least 1")
    batches = np.split(np.arange(len(dataset)), range(size, len(dataset), size))
    infer, recorded_for = None, ()
    total_loss, correct = 0.0, 0
    with np.errstate(all="ignore"):  # checked below, with a name
        for pixels, labels in feed(dataset, batches, like):
            images = as_input(model, normalize(pixels, mean, std, model.dtype), precision)
            if on_gpu(images) and len(batches) > 2 and infer is None:
                infer, recorded_for = _recorded(model, images), images.shape
            logits = infer(images) if infer is not None and images.shape == recorded_for else model(images)
            loss, _ = cross_entropy(logits, labels)
            require_finite_forward(model, images, logits, loss, waits=True)
            answers = logits.astype(np.float32).argmax(axis=1)
            total_loss += float(loss) * len(labels)
            correct += int((answers == labels).sum())
            if each_batch is not None:
                each_batch(len(labels))
    return Evaluation(total_loss / len(dataset), correct / len(dataset), len(dataset))


def _recorded(model: Trainable, images: Array) -> Callable[[Array], Array]:
    """The model as a CUDA graph, or itself where the GPU refuses to record."""
    try:
        return capture(model, images)
    except (RuntimeError, MemoryError) as error:
        say(f"no CUDA graph, the evaluation is started piece by piece: {error}")
        return model
