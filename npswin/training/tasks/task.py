"""What the trainer asks of a task: batches, losses with their gradients, and an evaluation."""

from collections.abc import Callable, Generator, Sequence
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np

from npswin.training.config import TrainConfig
from npswin.training.normalization import Normalization
from npswin.training.tasks.metric import Metric
from npswin.types import Array


class Dataset(Protocol):
    """What the trainer itself needs of a data set; a task needs more."""

    @property
    def name(self) -> str:
        """Of the data, in printed results."""

    def __len__(self) -> int:
        """The number of images."""

    def describe(self) -> dict[str, Any]:
        """What a resumed run recognizes its data by, as JSON can hold it."""


class Batch(Protocol):
    """The inputs or the targets of a batch: an array, a list, or anything else that is cut by images as they are."""

    def __len__(self) -> int:
        """The number of images, B."""

    def __getitem__(self, part: slice, /) -> Self:
        """Those of some images."""


@runtime_checkable
class Task(Protocol):
    """All that a `Trainer` does not know itself: what is learned, from what, and how well.

    A task has no state that changes in training, so that a run can be resumed.

    Attributes:
        loss_label: what the loss is, for curves.png.
        metrics: what an evaluation gives.
        main_metric: the one of them by which the best weights are chosen.
    """

    @property
    def loss_label(self) -> str: ...

    @property
    def metrics(self) -> tuple[Metric, ...]: ...

    @property
    def main_metric(self) -> Metric: ...

    def check(self, model: Any, train_data: Any, test_data: Any, config: TrainConfig) -> None:
        """Raise a ValueError, which names the argument, unless this model can learn the task from these data.

        The model is a `Trainable` that has what the task's methods use; the recipe has no setting that they ignore.
        """

    def loss_names(self, model: Any) -> tuple[str, ...]:
        """Names of the losses that `forward_backward` returns, which are those in the records.

        The first one is "loss", what is differentiated; where it is a sum of terms, their names follow.
        """

    def describe(self, train_data: Any) -> dict[str, Any]:
        """What belongs into the run's description besides recipe, model and data: names of classes, settings.

        A run is only resumed with the same. It is also in the metadata of the weight files.
        """

    def channel_statistics(self, train_data: Any) -> Normalization:
        """Mean and deviation of each channel of the training images, of pixels scaled to [0, 1]."""

    def load(
        self, dataset: Any, index_batches: Sequence[Array], like: Array, seed: int, epoch: int
    ) -> Generator[Any, None, None]:
        """The samples of one batch after the other, as `prepare` takes them.

        Args:
            dataset: the training data.
            index_batches: indices of the images of each batch, (B,).
            like: an array on the device that the model is on.
            seed: of the run; random numbers of a sample may depend on it, the epoch and the sample alone.
            epoch: number of the epoch, from 0.
        """

    def prepare(
        self, samples: Any, model: Any, normalization: Normalization, precision: str, rng: np.random.Generator
    ) -> tuple[Batch, Batch]:
        """Augment the samples of a batch, and make inputs and targets of them, on the model's device.

        Args:
            samples: from `load`.
            model: which gets them.
            normalization: mean and deviation of each channel.
            precision: see `npswin.TrainConfig`.
            rng: all random numbers come from it.

        Returns:
            inputs and targets.
        """

    def size(self, targets: Any) -> int:
        """What the loss of these targets is a mean over: the number of images, or of pixels that have a label.

        The losses of micro-batches are weighted by it.
        """

    def forward_backward(
        self, model: Any, inputs: Any, targets: Any, rng: np.random.Generator, scale: Any
    ) -> dict[str, Any]:
        """The losses of a batch, or of a part of one; adds the gradient of the first of them to `model.grads`.

        Args:
            model: in training.
            inputs: from `prepare`.
            targets: from `prepare`.
            rng: of the forward pass. `rng.random((B, ...))` gives each image numbers that do not depend on how a batch
                is cut into micro-batches.
            scale: factor on the gradient.

        Returns:
            The losses by name, without the factor; on a GPU 0-dimensional arrays.

        Raises:
            NonFiniteError: NaN or infinity; the message names the first tensor that has it.
        """

    def evaluate(
        self,
        model: Any,
        dataset: Any,
        normalization: Normalization,
        precision: str,
        each_batch: Callable[[int], None],
    ) -> Any:
        """Evaluate a model on a data set.

        Args:
            model: used in inference.
            dataset: the test data.
            normalization: mean and deviation of each channel.
            precision: see `npswin.TrainConfig`.
            each_batch: called after each batch with the number of its images; it may raise an exception.

        Returns:
            An object with an attribute for each of the metrics.
        """


@runtime_checkable
class PredictingTask(Task, Protocol):
    """A task whose trained models predict single images, as `npswin.predict` does."""

    def predict(self, model: Any, image: Array, normalization: Normalization) -> Any:
        """What a model finds in an image.

        Args:
            model: used in inference.
            image: (c, H, W) uint8, of any size; the result is for these pixels.
            normalization: mean and deviation of each channel.
        """


@runtime_checkable
class CapturableTask(Task, Protocol):
    """A task whose steps can be CUDA graphs; steps of other tasks run kernel by kernel on a GPU.

    It takes steps in which nothing but the numbers in the arrays changes: no shape and no decision depends on them.
    """

    def fixed_targets(self, model: Any, targets: Any) -> Array:
        """Targets as one array on the model's device, whose shape and dtype depend on the inputs' shape alone."""

    def captured_forward_backward(
        self, model: Any, inputs: Array, targets: Array, rng: np.random.Generator, scale: Array
    ) -> Array:
        """The loss; as `forward_backward`, by kernels alone and without checks."""
