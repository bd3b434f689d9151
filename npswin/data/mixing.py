"""Mixup and CutMix, which combine two images and their targets.

Arrays and generator may also be CuPy's; the computation is on the GPU then.
"""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from npswin.data.dataset import check_batch
from npswin.devices import array_module, on_gpu
from npswin.types import Array


def one_hot(labels: Array, num_classes: int, dtype: DTypeLike = np.float32) -> Array:
    """Targets with probability 1 for one class.

    Args:
        labels: (B,) integers, 0 to K - 1.
        num_classes: K.
        dtype: of the result.

    Returns:
        (B, K), a 1 in each row and zeros elsewhere. On a GPU, where a check would wait for the labels, a label out of
        range gives a row of NaN.

    Raises:
        ValueError: `labels` is not a vector of integers, or one of them is out of range.
    """
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels: got {labels.dtype} of shape {labels.shape}, expected integers of shape (B,)")
    if not on_gpu(labels) and labels.size and (labels.min() < 0 or labels.max() >= num_classes):
        raise ValueError(f"labels: got values from {labels.min()} to {labels.max()}, expected 0 to {num_classes - 1}")
    targets = (labels[:, None] == array_module(labels).arange(num_classes)).astype(dtype)
    return targets / targets.sum(axis=1, keepdims=True)  # 0 / 0 is NaN


def mixup(images: Array, targets: Array, rng: Any, alpha: float) -> tuple[Array, Array]:
    """Blend each image with another of the batch, and their targets in the same way.

    λ x + (1 - λ) x', λ from Beta(α, α), one λ per batch (Zhang et al. 2018, "mixup: Beyond Empirical Risk
    Minimization", section 2).

    Args:
        images: (B, 3, H, W), uint8 (blends are rounded) or float.
        targets: (B, K) float, each row's sum 1.
        rng: generator of λ and the partners.
        alpha: α, above 0. With a small α, λ is mostly near 0 or 1; with 1, it is uniform.

    Returns:
        blended images and targets, of the same shapes and dtypes.

    Raises:
        ValueError: an array is of another shape or dtype, or `alpha` is not above 0.
    """
    _check(images, targets, alpha)
    weight = rng.beta(float(alpha), float(alpha), size=1)
    partner = np.argsort(rng.random(len(images)))
    return _blend(images, images[partner], weight), _blend(targets, targets[partner], weight)


def _blend(one: Array, other: Array, weight: Array) -> Array:
    """weight · one + (1 − weight) · other, in the dtype of both; the weight is an array of one number."""
    weight = weight.astype(one.dtype if np.issubdtype(one.dtype, np.floating) else np.float64)
    blend = weight * one + (1 - weight) * other
    return np.rint(blend).astype(one.dtype) if one.dtype == np.uint8 else blend


def cutmix(images: Array, targets: Array, rng: Any, alpha: float) -> tuple[Array, Array]:
    """Paste a rectangle of another image of the batch into each image, and mix their targets by area.

    The rectangle has the image's aspect ratio, an area of 1 - λ with λ from Beta(α, α), and a uniform centre; it and λ
    are the same for the whole batch (Yun et al. 2019, "CutMix", equations 1 and 2). Parts outside the image are cut
    off, and the targets' weights are the areas after that.

    Args:
        images: (B, 3, H, W), uint8 or float.
        targets: (B, K) float, each row's sum 1.
        rng: generator of λ, the rectangle and the partners.
        alpha: α, above 0.

    Returns:
        mixed images and targets, of the same shapes and dtypes.

    Raises:
        ValueError: an array is of another shape or dtype, or `alpha` is not above 0.
    """
    _check(images, targets, alpha)
    height, width = images.shape[2:]
    relative_side = np.sqrt(1 - rng.beta(float(alpha), float(alpha), size=1))
    partner = np.argsort(rng.random(len(images)))
    rows, columns = _interval_mask(rng, height, relative_side), _interval_mask(rng, width, relative_side)
    mixed = np.where(rows[:, None] & columns, images[partner], images)
    weight = 1 - rows.sum() * columns.sum() / (height * width)
    return mixed, _blend(targets, targets[partner], weight.reshape(1))


def _interval_mask(rng: Any, length: int, relative_size: Array) -> Array:
    """(length,), True in an interval of relative_size · length pixels around a uniform centre, cut at the ends."""
    size, centre = np.rint(relative_size * length).astype(np.int64), rng.integers(0, length, size=1)
    start, indices = centre - size // 2, array_module(relative_size).arange(length)
    return (start <= indices) & (indices < start + size)


def _check(images: Array, targets: Array, alpha: float) -> None:
    check_batch(images)
    if targets.ndim != 2 or len(targets) != len(images) or not np.issubdtype(targets.dtype, np.floating):
        raise ValueError(
            f"targets: got {targets.dtype} of shape {targets.shape}, expected a float of shape ({len(images)}, K)"
        )
    if not 0 < alpha < np.inf:
        raise ValueError(f"alpha: got {alpha}, expected a number above 0")
