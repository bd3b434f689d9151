"""The gradient of one batch, in one piece or in several."""

from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from npswin.devices import cupy, on_gpu
from npswin.layers.loss import cross_entropy
from npswin.training.finite import require_finite, require_finite_forward
from npswin.training.trainable import Trainable
from npswin.types import Array


def slice_of_batch(seed: int, start: int, stop: int, batch: int, like: Array) -> Any:
    """A generator that draws for a whole batch, and hands out the part that belongs to some of its images.

    Each micro-batch gets one, all from the same seed. What the model drops is then the same in however many pieces
    the batch is computed.

    Args:
        seed: non-negative integer, the same for all pieces of a batch.
        start: first image of the piece.
        stop: one after its last image.
        batch: images in the whole batch, B.
        like: an array; the numbers are drawn where it is.

    Returns:
        A NumPy Generator, or one of CuPy's.
    """
    library = cupy().random if on_gpu(like) else np.random
    bits = library.Philox4x3210(seed) if on_gpu(like) else np.random.PCG64(seed)
    return _slices_drawn_by(library.Generator)(bits, start, stop, batch)


@lru_cache
def _slices_drawn_by(generator: Any) -> Any:
    class SliceOfBatch(generator):
        def __init__(self, bits: Any, start: int, stop: int, batch: int) -> None:
            super().__init__(bits)
            self._start, self._stop, self._batch = start, stop, batch

        def random(self, size: Any, dtype: Any = np.float64) -> Array:
            """Uniform numbers of the shape (rows, ...), where rows is a multiple of the piece's images."""
            rows = size[0] // (self._stop - self._start)
            whole = super().random((rows * self._batch, *size[1:]), dtype)
            return whole[rows * self._start : rows * self._stop]

    return SliceOfBatch


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

    With several micro-batches the gradients are sums over the pieces, each weighted by its share of the images: but
    for rounding the same numbers, from a smaller cache.

    Args:
        model: its `grads` are overwritten.
        images: (B, c, H, W) of a dtype that the model takes, where the model is.
        targets: labels (B,) or soft targets (B, K).
        label_smoothing: see `npswin.cross_entropy`.
        micro_batches: number of pieces; B where it is larger.
        seed: of what the model drops.
        loss_scale: by which the loss is multiplied before it is differentiated: derivatives of images of 16 bits
            would otherwise be too small for them (Micikevicius et al. 2018, "Mixed Precision Training", section 3.2).

    Returns:
        The loss, a mean over the B images, not scaled; on a GPU an array without axes.

    Raises:
        NonFiniteError: NaN or infinity in the images, the forward pass or the loss.
    """
    if not on_gpu(images):
        require_finite("the input batch's", [("images", images)])
    model.zero_grad()
    batch = len(images)
    pieces = min(micro_batches, batch)
    total: Any = 0.0
    for start, stop in pairwise(batch * piece // pieces for piece in range(pieces + 1)):
        part = images[start:stop]
        logits, cache = model.forward(part, rng=slice_of_batch(seed, start, stop, batch, part))
        share = (stop - start) / batch
        loss, dlogits = cross_entropy(logits, targets[start:stop], label_smoothing, scale=share * loss_scale)
        require_finite_forward(model, part, logits, loss)
        model.backward(dlogits, cache)
        total += share * loss
    return total
