"""Training steps as CUDA graphs: a few hundred kernels that are launched as one."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from npswin.backends import capture
from npswin.devices import cupy, to_gpu
from npswin.training.gradients import batch_gradients
from npswin.training.tasks.metric import LOSS
from npswin.training.tasks.task import CapturableTask
from npswin.training.terminal import print_stderr
from npswin.types import Array


class StepScalars(NamedTuple):
    """The scalars that change from step to step: Python numbers, or 0-dimensional arrays on a GPU.

    Attributes:
        lr: learning rate η.
        step: t, from 1.
        loss_scale: the factor on the loss, and so on its gradients.
        decay: δ of the average of the weights.
    """

    lr: Any
    step: Any
    loss_scale: Any
    decay: Any


class CapturedSteps:
    """Training steps of a model on a GPU, captured as CUDA graphs once for each shape of a batch.

    Each step is two graphs: from images to gradients, and from gradients to new weights. The second is captured after
    the first, since it reads the gradients at the addresses to which the first writes them.

    Args:
        task: what the model learns.
        model: a `Layer` that is `Trainable`.
        update: changes the weights by `model.grads` and these scalars, and returns an array. With a `loss_scale` that
            is NaN it has to change nothing.
    """

    def __init__(self, task: CapturableTask, model: Any, update: Callable[[StepScalars], Array]) -> None:
        self._task, self._model, self._update = task, model, update
        self._graphs: dict[Any, _StepGraphs] = {}
        self._can_capture = True

    def run(self, images: Array, targets: Any, seed: int, scalars: StepScalars) -> tuple[Array, Array]:
        """Run a step; see `batch_gradients`. Where capturing fails, the step runs without a graph, after a warning.

        Returns:
            the loss, and what `update` returned.
        """
        if self._can_capture:
            fixed_targets = self._task.fixed_targets(self._model, targets)
            try:
                graphs = self._graphs_for(images, fixed_targets)
            except (RuntimeError, MemoryError) as error:
                self._can_capture = False
                self._graphs.clear()
                print_stderr(f"no CUDA graph, the kernels of a step are launched one by one: {error}")
            else:
                return graphs.run(images, fixed_targets, seed, scalars)
        losses = batch_gradients(self._task, self._model, images, targets, 1, seed, scalars.loss_scale)
        return losses[LOSS.name], self._update(_to_gpu(scalars, self._model.dtype))

    def _graphs_for(self, images: Array, targets: Array) -> "_StepGraphs":
        key = images.shape, images.dtype.name
        if key not in self._graphs:
            self._graphs[key] = _StepGraphs(self._task, self._model, self._update, images, targets)
        return self._graphs[key]


def _to_gpu(scalars: StepScalars, dtype: Any) -> StepScalars:
    return StepScalars(*to_gpu(np.array(scalars, dtype)))


class _StepGraphs:
    """The two graphs for one shape of a batch."""

    def __init__(
        self,
        task: CapturableTask,
        model: Any,
        update: Callable[[StepScalars], Array],
        images: Array,
        targets: Array,
    ) -> None:
        self._task, self._model, self._gradients = task, model, dict[str, Array]()
        self._uniforms = _static_uniforms_class()()
        scale = to_gpu(np.ones((), model.dtype))
        self._forward_backward = capture(self._compute_gradients, images, targets, scale)
        self._set_model_gradients()
        # NaN, since `capture` first calls the function once, and that call must not change the weights
        scalars = np.full(len(StepScalars._fields), np.nan, model.dtype)
        self._update = capture(lambda values: update(StepScalars(*values)), to_gpu(scalars))

    def _compute_gradients(self, images: Array, targets: Array, scale: Array) -> Array:
        self._uniforms.rewind()
        self._model.zero_grad()
        loss = self._task.captured_forward_backward(self._model, images, targets, self._uniforms, scale)
        self._gradients = self._model.grads
        return loss

    def _set_model_gradients(self) -> None:
        """Make the arrays that the graph writes the model's gradients."""
        self._model.zero_grad()
        self._model.accumulate(tuple(self._gradients), tuple(self._gradients.values()))

    def run(self, images: Array, targets: Array, seed: int, scalars: StepScalars) -> tuple[Array, Array]:
        """Launch both graphs."""
        values = to_gpu(np.array(scalars, self._model.dtype))
        self._uniforms.fill(seed)
        loss = self._forward_backward(images, targets, values[StepScalars._fields.index("loss_scale")])
        self._set_model_gradients()
        return loss, self._update(values)


@lru_cache(maxsize=1)
def _static_uniforms_class() -> Any:
    library = cupy().random
    generator: Any = library.Generator

    class StaticUniforms(generator):
        """A generator that returns slices of one array, which a graph reads and which is filled before each launch.

        In the first pass, which is not captured, it draws as usual and counts how many numbers are needed.
        """

        def __init__(self) -> None:
            super().__init__(library.Philox4x3210(0))
            self._numbers: Any = None
            self._used, self._dtype = 0, np.float32

        def rewind(self) -> None:
            """Start a pass: the next numbers are the first ones."""
            if self._used and self._numbers is None:
                self._numbers = cupy().empty(self._used, self._dtype)
            self._used = 0

        def random(self, size: Any, dtype: Any = np.float64) -> Array:
            """The next numbers."""
            first, self._used, self._dtype = self._used, self._used + int(np.prod(size)), dtype
            if self._numbers is None:
                return super().random(size, dtype)
            return self._numbers[first : self._used].reshape(size)

        def fill(self, seed: int) -> None:
            """Draw all numbers anew."""
            if self._numbers is not None:
                self._numbers[...] = generator(library.Philox4x3210(seed)).random(self._used, self._dtype)

    return StaticUniforms
