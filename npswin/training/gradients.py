"""The gradients of one batch, and the search for the first tensor with a NaN or an infinity.

On a GPU, looking at a number waits for the computation. So the checks here pass everything on a GPU unless they get
`sync_gpu=True`; the trainer checks the loss and the gradients' norm later, see `Learner.finish_step`.
"""

import math
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from npswin.backends import dispatch
from npswin.checks import check_array_like, check_integer, check_number, describe, dtype_name
from npswin.devices import cupy, on_gpu, to_host
from npswin.layers.loss import cross_entropy, target_distribution
from npswin.models.checks import check_image_shape
from npswin.training.trainable import Trainable, check_model
from npswin.types import Array


class NonFiniteError(ArithmeticError):
    """A NaN or an infinity with which training cannot continue; the message names the first tensor that has one."""


def compute_gradients(
    model: Trainable,
    images: Array,
    targets: Array,
    label_smoothing: float = 0.0,
    micro_batches: int = 1,
    seed: int = 0,
    loss_scale: float = 1.0,
) -> Any:
    """Set `model.grads` to the derivative of the batch's mean loss, times the loss scale.

    With several micro-batches the gradients are sums over them, each weighted by its share of the images: the same
    numbers but for rounding, from a smaller cache.

    Args:
        model: its `grads` are overwritten.
        images: (B, c, H, W) of a dtype that the model takes, on the model's device.
        targets: labels (B,) or soft targets (B, K).
        label_smoothing: see `npswin.cross_entropy`.
        micro_batches: their number; B where it is larger.
        seed: of the dropout masks.
        loss_scale: positive, by which the loss is multiplied before it is differentiated, so that gradients in 16 bits
            do not underflow (Micikevicius et al. 2018, "Mixed Precision Training", section 3.2).

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
    if not on_gpu(images):
        require_finite("the input batch's", [("images", images)])
    model.zero_grad()
    batch = len(images)
    pieces = min(micro_batches, batch)
    total: Any = 0.0
    for start, stop in pairwise(batch * piece // pieces for piece in range(pieces + 1)):
        part = images[start:stop]
        logits, cache = model.forward(part, rng=micro_batch_rng(seed, start, stop, batch, part))
        share = (stop - start) / batch
        loss, dlogits = cross_entropy(logits, targets[start:stop], scale=share * loss_scale)
        require_finite_forward(model, part, logits, loss)
        model.backward(dlogits, cache)
        total += share * loss
    return total


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


def require_finite_forward(model: Trainable, images: Array, logits: Array, loss: float, sync_gpu: bool = False) -> None:
    """Where logits or loss are not finite, name the first tensor of the forward pass that is not.

    Args:
        model: its parameters are searched, then the outputs of its layers if it has `activations`.
        images: (B, c, H, W), finite.
        logits: (B, K), of these images.
        loss: of the logits.
        sync_gpu: whether to check on a GPU, too.

    Raises:
        NonFiniteError: for the first parameter, activation, logits or loss that is not finite.
    """
    if (on_gpu(logits) and not sync_gpu) or (math.isfinite(loss) and np.isfinite(logits).all()):
        return
    require_finite("parameter", model.params.items())
    activations = getattr(model, "activations", None)
    if activations is not None:
        require_finite("the output of", activations(images))
    require_finite("the model's", [("logits", logits)])
    raise NonFiniteError(f"the loss is {loss}, though the logits are finite")


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
        model: its `params` are searched.
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
