"""How well a model does on images that it has not been trained on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from npswin.data import ImageDataset, normalize
from npswin.devices import to_host
from npswin.layers.loss import cross_entropy
from npswin.training.finite import require_finite, require_finite_forward
from npswin.training.trainable import Trainable, as_input


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
    batch_size: int = 100,
    each_batch: Callable[[int], None] | None = None,
    precision: str = "full",
) -> Evaluation:
    """Loss and accuracy over a whole data set.

    Args:
        model: in inference; nothing is dropped.
        dataset: N images.
        mean: of each channel, as the training images were normalized with.
        std: the same.
        batch_size: images at a time.
        each_batch: called after each batch with the number of its images.
        precision: see `npswin.TrainConfig`.

    Raises:
        NonFiniteError: a forward pass came to NaN or infinity.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size: got {batch_size}, expected at least 1")
    total_loss, correct = 0.0, 0
    with np.errstate(all="ignore"):  # checked below, with a name
        for start in range(0, len(dataset), batch_size):
            images = normalize(dataset.images[start : start + batch_size], mean, std, model.dtype)
            labels = dataset.labels[start : start + batch_size]
            require_finite("the input batch's", [("images", images)])
            images = as_input(model, images, precision)
            logits = model(images)
            loss, _ = cross_entropy(logits, labels)
            require_finite_forward(model, images, logits, loss, waits=True)
            logits = to_host(logits).astype(np.float32, copy=False)
            total_loss += float(loss) * len(labels)
            correct += int((logits.argmax(axis=1) == labels).sum())
            if each_batch is not None:
                each_batch(len(labels))
    return Evaluation(total_loss / len(dataset), correct / len(dataset), len(dataset))
