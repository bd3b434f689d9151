"""The gradient of one batch, in one piece or in several."""

from itertools import pairwise
from typing import Any

import numpy as np

from npswin.layers.loss import cross_entropy
from npswin.training.finite import require_finite, require_finite_forward
from npswin.training.trainable import Trainable
from npswin.types import Array


class SliceOfBatch(np.random.Generator):
    """Draws for a whole batch, and hands out the part that belongs to some of its images.

    Each micro-batch gets one, all from the same seed. What the model drops is then the same in however many pieces
    the batch is computed.

    Args:
        seed: non-negative integer, the same for all pieces of a batch.
        start: first image of the piece.
        stop: one after its last image.
        batch: images in the whole batch, B.
    """

    def __init__(self, seed: int, start: int, stop: int, batch: int) -> None:
        super().__init__(np.random.PCG64(seed))
        self._start, self._stop, self._batch = start, stop, batch

    def random(self, size: Any) -> Array:  # type: ignore[override]
        """Uniform numbers of the shape (rows, ...), where rows is a multiple of the piece's images."""
        rows = size[0] // (self._stop - self._start)
        whole = super().random((rows * self._batch, *size[1:]))
        return whole[rows * self._start : rows * self._stop]


def compute_gradients(
    model: Trainable, images: Array, targets: Array, label_smoothing: float = 0.0, micro_batches: int = 1, seed: int = 0
) -> float:
    """Set `model.grads` to the derivative of the batch's mean loss.

    With several micro-batches the gradients are sums over the pieces, each weighted by its share of the images: but
    for rounding the same numbers, from a smaller cache.

    Args:
        model: its `grads` are overwritten.
        images: (B, c, H, W) of the model's dtype.
        targets: labels (B,) or soft targets (B, K).
        label_smoothing: see `npswin.cross_entropy`.
        micro_batches: number of pieces; B where it is larger.
        seed: of what the model drops.

    Returns:
        The loss, a mean over the B images.

    Raises:
        NonFiniteError: NaN or infinity in the images, the forward pass or the loss.
    """
    require_finite("the input batch's", [("images", images)])
    model.zero_grad()
    batch = len(images)
    pieces = min(micro_batches, batch)
    total = 0.0
    for start, stop in pairwise(batch * piece // pieces for piece in range(pieces + 1)):
        part = images[start:stop]
        logits, cache = model.forward(part, rng=SliceOfBatch(seed, start, stop, batch))
        loss, dlogits = cross_entropy(logits, targets[start:stop], label_smoothing)
        require_finite_forward(model, part, logits, loss)
        share = (stop - start) / batch
        dlogits *= share
        model.backward(dlogits, cache)
        total += share * loss
    return total
