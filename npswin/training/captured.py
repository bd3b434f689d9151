"""Steps as CUDA graphs: some hundred small pieces of work on a GPU, asked for at once."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from npswin.backends import capture, dispatch
from npswin.devices import beside, cupy, to_gpu
from npswin.layers.loss import target_distribution
from npswin.training.progress import say
from npswin.training.step import compute_gradients
from npswin.types import Array


class Rates(NamedTuple):
    """What changes from step to step: numbers, or arrays without axes on a GPU.

    Attributes:
        lr: learning rate η.
        step: t, from 1.
        loss_scale: by which the loss is multiplied, and its gradients are too large.
        decay: δ of the average of the weights.
    """

    lr: Any
    step: Any
    loss_scale: Any
    decay: Any


class CapturedSteps:
    """Steps of a model on a GPU; for each shape of a batch they are recorded when it first comes.

    There are two recordings: one from images to gradients, and one from gradients to new weights, which has to know
    where the first one leaves them.

    Args:
        model: a `Layer` that is `Trainable`.
        update: changes the weights by `model.grads` and these rates; returns an array. With a `loss_scale` that is NaN
            it has to change nothing.
    """

    def __init__(self, model: Any, update: Callable[[Rates], Array]) -> None:
        self._model, self._update = model, update
        self._steps: dict[Any, _Step] = {}
        self._works = True

    def run(
        self, images: Array, targets: Array, label_smoothing: float, seed: int, rates: Rates
    ) -> tuple[Array, Array]:
        """A step; see `compute_gradients`. Where the GPU refuses to record, it is not recorded, and a line says so.

        Returns:
            the loss, and what `update` returned.
        """
        if self._works:
            try:
                step = self._step(images)
            except (RuntimeError, MemoryError) as error:
                self._works = False
                self._steps.clear()
                say(f"no CUDA graph, steps are started piece by piece: {error}")
            else:
                return step.run(images, targets, label_smoothing, seed, rates)
        loss = compute_gradients(self._model, images, targets, label_smoothing, 1, seed, rates.loss_scale)
        return loss, self._update(_on_gpu(rates, self._model.dtype))

    def _step(self, images: Array) -> "_Step":
        key = images.shape, images.dtype.name
        if key not in self._steps:
            self._steps[key] = _Step(self._model, self._update, images)
        return self._steps[key]


def _on_gpu(rates: Rates, dtype: Any) -> Rates:
    return Rates(*to_gpu(np.array(rates, dtype)))


class _Step:
    """The recordings for one shape of a batch."""

    def __init__(self, model: Any, update: Callable[[Rates], Array], images: Array) -> None:
        self._model, self._gradients = model, dict[str, Array]()
        self._tape = _tape_class()()
        targets, scale = np.zeros((len(images), model.num_classes), model.dtype), np.ones((), model.dtype)
        self._differentiate = capture(self._record, images, to_gpu(targets), to_gpu(scale))
        self._lay_gradients()
        rates = np.full(len(Rates._fields), np.nan, model.dtype)  # as it is called once more than it is recorded
        self._update = capture(lambda numbers: update(Rates(*numbers)), to_gpu(rates))

    def _record(self, images: Array, targets: Array, scale: Array) -> Array:
        self._tape.rewind()
        self._model.zero_grad()
        logits, cache = self._model.forward(images, rng=self._tape)
        loss, loss_cache = dispatch.cross_entropy_forward(logits, targets)
        self._model.backward(dispatch.cross_entropy_backward(scale, loss_cache), cache)
        self._gradients = self._model.grads
        return loss

    def _lay_gradients(self) -> None:
        """Give the model those that the recording writes."""
        self._model.zero_grad()
        self._model.accumulate(tuple(self._gradients), tuple(self._gradients.values()))

    def run(
        self, images: Array, targets: Array, label_smoothing: float, seed: int, rates: Rates
    ) -> tuple[Array, Array]:
        """Start both."""
        dtype = self._model.dtype
        soft = beside(target_distribution(targets, self._model.num_classes, label_smoothing, dtype), images)
        numbers = to_gpu(np.array(rates, dtype))
        self._tape.fill(seed)
        loss = self._differentiate(images, soft, numbers[Rates._fields.index("loss_scale")])
        self._lay_gradients()
        return loss, self._update(numbers)


@lru_cache(maxsize=1)
def _tape_class() -> Any:
    library = cupy().random
    generator: Any = library.Generator

    class Tape(generator):
        """Uniform numbers that lie where a recording reads them, and are drawn anew before it is launched.

        In the first pass, which is not recorded, it only learns how many there have to be.
        """

        def __init__(self) -> None:
            super().__init__(library.Philox4x3210(0))
            self._numbers: Any = None
            self._used, self._dtype = 0, np.float32

        def rewind(self) -> None:
            """A pass begins."""
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
            """Draw them anew."""
            if self._numbers is not None:
                self._numbers[...] = generator(library.Philox4x3210(seed)).random(self._used, self._dtype)

    return Tape
