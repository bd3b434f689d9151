"""The loss, from labels or from soft targets."""

from typing import Any

import numpy as np

from npswin.backends import dispatch
from npswin.checks import check_array_like, check_number, check_scale, dtype_name
from npswin.data.mixing import are_distributions, check_labels, one_hot
from npswin.devices import HALF_DTYPES, on_gpu, to_device_of, to_host
from npswin.types import Array


def target_distribution(
    labels: Array, num_classes: int, label_smoothing: float, dtype: Any, name: str = "labels"
) -> Array:
    """Targets (B, K) from labels (B,) or from soft targets (B, K), smoothed.

    t ← (1 − ε) t + ε/K (Szegedy et al. 2016, section 7). On a GPU the values are not checked, which would
    synchronize: a label that is out of range makes a row of NaN, and so a loss that is NaN.

    Args:
        labels: (B,) or (B, K).
        num_classes: K.
        label_smoothing: ε.
        dtype: of the targets.
        name: of the argument that the labels are, for messages.

    Raises:
        ValueError: labels out of 0 … K − 1 or of another type than integer, targets of another width or
            that are no distributions, a smoothing outside [0, 1).
    """
    label_smoothing = check_number("label_smoothing", label_smoothing, at_least=0, below=1)
    labels = labels.astype(np.float32) if labels.dtype.name in HALF_DTYPES else labels
    if labels.ndim == 1:
        if labels.dtype.kind not in "iu":
            raise ValueError(
                f"{name}: got dtype {dtype_name(labels.dtype)}, expected integers (or soft targets of shape (B, K))"
            )
        check_labels(name, labels, num_classes)
        targets = one_hot(labels, num_classes, dtype)
    elif labels.ndim == 2 and labels.shape[1] == num_classes:
        if not np.issubdtype(labels.dtype, np.floating):
            raise ValueError(
                f"{name}: got dtype {dtype_name(labels.dtype)} of shape {labels.shape}, expected soft targets as floats"
            )
        if not on_gpu(labels) and not are_distributions(labels):
            raise ValueError(f"{name}: got soft targets that are no distributions, expected rows >= 0 that sum to 1")
        targets = labels.astype(dtype)
    else:
        raise ValueError(f"{name}: got shape {labels.shape}, expected (B,) or (B, {num_classes})")
    if label_smoothing:
        targets *= 1 - label_smoothing
        targets += label_smoothing / num_classes
    return targets


def cross_entropy(logits: Array, labels: Array, label_smoothing: float = 0.0, scale: float = 1.0) -> tuple[Any, Array]:
    """The mean cross-entropy of a batch and its derivative by the logits.

    Args:
        logits: (B, K); on a GPU also in float16 or bfloat16.
        labels: (B,) integers in 0 … K − 1, or (B, K) soft targets (as mixup makes them).
        label_smoothing: ε in [0, 1), the part of each target that is spread over all classes.
        scale: by which the derivative is multiplied, before it is rounded to the logits' dtype.

    Returns:
        loss, a float in nats, or on a GPU a 0-dimensional array, which needs no synchronization; dlogits (B, K).

    Raises:
        ValueError: shapes that do not fit, labels out of range, an empty batch, a scale that is no number. Labels
            on a GPU are not checked: one that is out of range makes the loss NaN.
    """
    logits = check_array_like("logits", logits, "an array (B, K)")
    labels = check_array_like("labels", labels, "integers (B,) or soft targets (B, K)")
    labels = labels if on_gpu(logits) else to_host(labels)
    if not on_gpu(logits) and logits.dtype not in (np.float32, np.float64):
        raise ValueError(f"logits: got dtype {dtype_name(logits.dtype)}, expected float32 or float64")
    if logits.ndim != 2 or logits.size == 0:
        raise ValueError(f"logits: got shape {logits.shape}, expected (B, K) with at least one row and one class")
    if labels.ndim == 0 or len(labels) != len(logits):
        raise ValueError(f"labels: got shape {labels.shape}, expected {len(logits)} rows, one for each row of logits")
    dtype = logits.dtype if logits.dtype == np.float64 or not on_gpu(logits) else np.float32
    factor = check_scale(scale, dtype)
    targets = target_distribution(labels, logits.shape[1], label_smoothing, dtype)
    loss, cache = dispatch.cross_entropy_forward(logits, to_device_of(targets, logits))
    return loss if on_gpu(loss) else float(loss), dispatch.cross_entropy_backward(np.full_like(loss, factor), cache)
