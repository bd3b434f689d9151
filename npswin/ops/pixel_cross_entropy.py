"""Cross-entropy of a class for each pixel or box, of which some are ignored (Long et al. 2015, section 4)."""

from typing import Any

import numpy as np

from npswin.ops.arguments import Axes, integer, number, or_none
from npswin.ops.description import op
from npswin.ops.weighted_loss import weighted_mean
from npswin.types import Array

LARGEST_LABEL = 2**31 - 1


def check_labels(labels: Array, classes: int, ignore_index: int) -> Array:
    """Where labels are classes, True, and where they are ignored, False.

    Raises:
        ValueError: a label is neither.
    """
    valid = labels != ignore_index
    wrong = valid & ((labels < 0) | (labels >= classes))
    if wrong.any():
        expected = f"expected 0 to {classes - 1}, or {ignore_index} for what is ignored"
        raise ValueError(f"labels: got {labels[wrong].flat[0]}, {expected}")
    return valid


@op(
    logits="... K",
    labels=Axes("...", integers=True),
    weights="...",
    ignore_index=integer(at_least=0, at_most=LARGEST_LABEL),
    divisor=or_none(number(above=0, in_arrays_dtype=True)),
)
def pixel_cross_entropy_forward(
    logits: Array,
    labels: Array,
    weights: Array | None = None,
    ignore_index: int = 255,
    divisor: float | None = None,
) -> tuple[Any, Any]:
    """L = −(1/d) Σ w log p_c at places with a class c, where log p = x − log Σ exp(x).

    Args:
        logits: x (..., K).
        labels: (...), the class c of each place from 0 to K − 1, or `ignore_index`, in any integer dtype.
        weights: w (...), or None for 1.
        ignore_index: label of places that count nothing, whatever their weight.
        divisor: d, or None for the number of places that are not ignored, at least 1.

    Returns:
        the loss, a scalar of the logits' dtype, and the cache for the backward pass.

    Raises:
        ValueError: a label is no class and not ignored. On a GPU, where looking at labels would make the program wait,
            the loss and the place's derivatives are NaN instead.

    Test: tests/ops/test_gradients.py::test_pixel_cross_entropy
    """
    valid = check_labels(labels, logits.shape[-1], ignore_index)
    classes = np.where(valid, labels, 0).astype(np.int64)[..., None]
    shifted = logits - logits.real.max(axis=-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    losses = np.where(valid, -np.take_along_axis(log_p, classes, axis=-1)[..., 0], 0)
    divisor = max(int(valid.sum()), 1) if divisor is None else divisor
    loss, dlosses = weighted_mean(losses, None if weights is None else np.where(valid, weights, 0), divisor)
    return loss, (log_p, classes, valid, dlosses)


def pixel_cross_entropy_backward(dloss: Any, cache: Any) -> Array:
    """dx_k = (w / d) (p_k − [k = c]) at places with a class c, 0 at those that are ignored.

    From ∂(−log p_c)/∂x_k = ∂(log Σ_j exp(x_j) − x_c)/∂x_k = p_k − [k = c].

    Args:
        dloss: scalar, 1 for the loss itself.

    Returns:
        dlogits (..., K).
    """
    log_p, classes, valid, dlosses = cache
    dlogits = np.exp(log_p)
    of_class = np.take_along_axis(dlogits, classes, axis=-1)
    np.put_along_axis(dlogits, classes, of_class - 1, axis=-1)
    dlogits *= np.asarray(log_p.dtype.type(dloss) * dlosses)[..., None]
    return np.where(valid[..., None], dlogits, 0)
