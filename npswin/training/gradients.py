"""The gradients of one batch, and the search for the first tensor with a NaN or an infinity.

On a GPU, looking at a number waits for the computation. So the checks here pass everything on a GPU unless they get
`sync_gpu=True`; the trainer checks the loss and the gradients' norm later, see `Learner.finish_step`.
"""

import math
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from npswin.backends import dispatch
from npswin.devices import cupy, on_gpu
from npswin.training.tasks.task import Batch, Task
from npswin.training.trainable import Trainable, buffers_of
from npswin.types import Array


class NonFiniteError(ArithmeticError):
    """A NaN or an infinity with which training cannot continue; the message names the first tensor that has one."""


def batch_gradients(
    task: Task,
    model: Trainable,
    inputs: Batch,
    targets: Batch,
    micro_batches: int = 1,
    seed: int = 0,
    loss_scale: Any = 1.0,
) -> dict[str, Any]:
    """Set `model.grads` to the derivative of a batch's loss, times the loss scale.

    With several micro-batches the gradients are sums over them, each weighted by its share in the `Task.size` of the
    batch: the same numbers but for rounding, from a smaller cache. They are others where what an image contributes
    depends on the images beside it, as with batch norm.

    Args:
        task: whose loss it is.
        model: its `grads` are overwritten.
        inputs: of B images, from `Task.prepare`.
        targets: of the same images.
        micro_batches: their number; B where it is larger.
        seed: of the random numbers of the forward pass.
        loss_scale: by which the loss is multiplied before it is differentiated, so that gradients in 16 bits do not
            underflow (Micikevicius et al. 2018, "Mixed Precision Training", section 3.2).

    Returns:
        The task's losses by name, not scaled; on a GPU 0-dimensional arrays.

    Raises:
        NonFiniteError: NaN or infinity in the inputs, the forward pass or a loss.
    """
    model.zero_grad()
    batch = len(inputs)
    pieces = min(micro_batches, batch)
    losses: dict[str, Any] = dict.fromkeys(task.loss_names(model), 0.0)
    like: Any = next(iter(model.params.values()), inputs)
    for start, stop in pairwise(batch * piece // pieces for piece in range(pieces + 1)):
        part, part_targets = inputs[start:stop], targets[start:stop]
        share = task.size(part_targets) / max(task.size(targets), 1) if pieces > 1 else 1.0
        rng = micro_batch_rng(seed, start, stop, batch, like)
        found = task.forward_backward(model, part, part_targets, rng, share * loss_scale)
        for name in losses:
            losses[name] += share * found[name]
    return losses


def micro_batch_rng(seed: int, start: int, stop: int, batch: int, like: Array) -> Any:
    """A generator that draws for a whole batch, and returns the rows of one micro-batch.

    With the same seed for all micro-batches, dropout masks do not depend on how many there are.

    Args:
        seed: non-negative integer, the same for all micro-batches of a batch.
        start: first image of the micro-batch.
        stop: one after its last image.
        batch: images in the whole batch, B.
        like: the array on whose device the numbers are drawn.

    Returns:
        A NumPy Generator, or one of CuPy's.
    """
    library = cupy().random if on_gpu(like) else np.random
    bits = library.Philox4x3210(seed) if on_gpu(like) else np.random.PCG64(seed)
    return _micro_batch_generator_class(library.Generator)(bits, start, stop, batch)


@lru_cache
def _micro_batch_generator_class(generator: Any) -> Any:
    class MicroBatchGenerator(generator):
        def __init__(self, bits: Any, start: int, stop: int, batch: int) -> None:
            super().__init__(bits)
            self._start, self._stop, self._batch = start, stop, batch

        def random(self, size: Any, dtype: Any = np.float64) -> Array:
            """Uniform numbers of the shape (rows, ...), where rows is a multiple of the micro-batch's images."""
            rows = size[0] // (self._stop - self._start)
            whole = super().random((rows * self._batch, *size[1:]), dtype)
            return whole[rows * self._start : rows * self._stop]

    return MicroBatchGenerator


def require_finite(kind: str, tensors: Iterable[tuple[str, Array]]) -> None:
    """Raise a NonFiniteError for the first tensor that has a NaN or an infinite entry.

    Args:
        kind: what the tensors are, e.g. "gradient"; for the message.
        tensors: (name, array) in the order of the search.
    """
    for name, tensor in tensors:
        finite = np.isfinite(tensor)
        if not finite.all():
            kinds = "NaN" if np.isnan(tensor).any() else "Inf"
            bad = tensor.size - int(np.count_nonzero(finite))
            raise NonFiniteError(f"{kinds} in {kind} {name}: {bad} of {tensor.size} entries")


def require_finite_forward(
    model: Trainable, inputs: Any, outputs: Mapping[str, Array], losses: Mapping[str, Any], sync_gpu: bool = False
) -> None:
    """Where outputs or losses are not finite, name the first tensor of the forward pass that is not.

    Args:
        model: its parameters are searched, then the outputs of its layers if it has `activations`.
        inputs: of the model, finite.
        outputs: of the model, by name, such as its logits.
        losses: of these outputs, by name.
        sync_gpu: whether to check on a GPU, too.

    Raises:
        NonFiniteError: for the first parameter, activation, output or loss that is not finite.
    """
    numbers = [*losses.values(), *outputs.values()]
    if (any(map(on_gpu, numbers)) and not sync_gpu) or all(np.isfinite(number).all() for number in numbers):
        return
    require_finite("parameter", model.params.items())
    activations = getattr(model, "activations", None)
    if activations is not None:
        require_finite("the output of", activations(inputs))
    require_finite("the model's", outputs.items())
    name, loss = next((name, loss) for name, loss in losses.items() if not np.isfinite(loss))
    what = f", though the {' and '.join(outputs)} are finite" if outputs else ""
    raise NonFiniteError(f"the {name.replace('_', ' ')} is {loss}{what}")


def require_finite_gradients(model: Trainable, norm: float) -> None:
    """Where the gradients' norm is not finite, name the first gradient that is not, in the order of the backward pass.

    Args:
        model: its `grads` are searched, from last to first.
        norm: of all of them together.

    Raises:
        NonFiniteError: for the first of them that is not finite.
    """
    if not on_gpu(norm) and not math.isfinite(norm):
        require_finite("the gradient of", reversed(model.grads.items()))
        raise NonFiniteError(f"the norm of all gradients is {norm}, though each of them is finite")


def require_finite_weights(model: Trainable, sync_gpu: bool = False) -> None:
    """Check the weights after an update.

    Args:
        model: its `params` are searched, then its `buffers`.
        sync_gpu: whether to check on a GPU, too.

    Raises:
        NonFiniteError: for the first of them that is not finite.
    """
    params = model.params
    if on_gpu(next(iter(params.values()))) and not sync_gpu:
        return
    if not math.isfinite(dispatch.global_norm(params.values())):
        require_finite("the updated parameter", model.params.items())
        raise NonFiniteError("the norm of all parameters is infinite, though each of them is finite")
    require_finite("the buffer", buffers_of(model).items())
