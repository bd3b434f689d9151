"""A step's gradients as a CUDA graph: some hundred small pieces of work on a GPU, asked for at once."""

from functools import lru_cache
from typing import Any

import numpy as np

from npswin.backends import capture, words
from npswin.devices import cupy, to_gpu
from npswin.layers.loss import target_distribution
from npswin.training.progress import say
from npswin.training.step import compute_gradients
from npswin.types import Array


class CapturedGradients:
    """`compute_gradients` for a model on a GPU; each shape of a batch is recorded when it first comes.

    Args:
        model: a `Layer` that is `Trainable`.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._steps: dict[Any, _Step] = {}
        self._works = True

    def compute(self, images: Array, targets: Array, label_smoothing: float, seed: int, loss_scale: float) -> Any:
        """See `compute_gradients`. Where the GPU refuses to record, that is what computes, and a line says so."""
        if self._works:
            try:
                return self._step(images).run(images, targets, label_smoothing, seed, loss_scale)
            except (RuntimeError, MemoryError) as error:
                self._works = False
                self._steps.clear()
                say(f"no CUDA graph, steps are started piece by piece: {error}")
        return compute_gradients(self._model, images, targets, label_smoothing, 1, seed, loss_scale)

    def _step(self, images: Array) -> "_Step":
        key = images.shape, images.dtype.name
        if key not in self._steps:
            self._steps[key] = _Step(self._model, images)
        return self._steps[key]


class _Step:
    """The recording for one shape of a batch.

    Attributes:
        gradients: of all parameters by name, in the recording's memory.
    """

    def __init__(self, model: Any, images: Array) -> None:
        self.model, self.gradients = model, dict[str, Array]()
        self.tape = _tape_class()()
        targets, scale = np.zeros((len(images), model.num_classes), model.dtype), np.ones((), model.dtype)
        self._launch = capture(self._record, images, to_gpu(targets), to_gpu(scale))

    def _record(self, images: Array, targets: Array, scale: Array) -> Array:
        self.tape.rewind()
        self.model.zero_grad()
        logits, cache = self.model.forward(images, rng=self.tape)
        loss, loss_cache = words.cross_entropy_forward(logits, targets)
        self.model.backward(words.cross_entropy_backward(scale, loss_cache), cache)
        self.gradients = self.model.grads
        return loss

    def run(self, images: Array, targets: Array, label_smoothing: float, seed: int, loss_scale: float) -> Any:
        """Set the model's gradients, and return the loss."""
        dtype = self.model.dtype
        soft = target_distribution(targets, self.model.num_classes, label_smoothing, dtype)
        self.tape.fill(seed)
        loss = self._launch(images, to_gpu(soft), to_gpu(np.array(loss_scale, dtype)))
        self.model.zero_grad()
        self.model.accumulate(tuple(self.gradients), tuple(self.gradients.values()))
        return loss


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
