"""Two images in one, and the soft targets that go with it.

Arrays and generator may also be CuPy's; then the numbers are drawn, and stay, on the GPU.
"""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from npswin.data.dataset import check_batch
from npswin.devices import library, on_gpu
from npswin.types import Array


def one_hot(labels: Array, num_classes: int, dtype: DTypeLike = np.float32) -> Array:
    """Targets that put all weight on one class.

    Args:
        labels: (B,) integers, 0 to K - 1.
        num_classes: K.
        dtype: of the result.

    Returns:
        (B, K), a 1 in each row and zeros elsewhere. On a GPU, where nobody waits to look at the labels, a label out of
        range makes a row of NaN.

    Raises:
        ValueError: `labels` is no vector of integers, or one of them is out of range.
    """
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels: got {labels.dtype} of shape {labels.shape}, expected integers of shape (B,)")
    if not on_gpu(labels) and labels.size and (labels.min() < 0 or labels.max() >= num_classes):
        raise ValueError(f"labels: got values from {labels.min()} to {labels.max()}, expected 0 to {num_classes - 1}")
    targets = (labels[:, None] == library(labels).arange(num_classes)).astype(dtype)
    return targets / targets.sum(axis=1, keepdims=True)  # 0 / 0 is NaN


def mixup(images: Array, targets: Array, rng: Any, alpha: float) -> tuple[Array, Array]:
    """Blend each image with another of the batch, and their targets alike.

    λ x + (1 - λ) x', λ from Beta(α, α), one λ a batch (Zhang et al. 2018, "mixup: Beyond Empirical Risk
    Minimization", section 2).

    Args:
        images: (B, 3, H, W), uint8 (blends are rounded) or float.
        targets: (B, K) float, each row's sum 1.
        rng: where λ and the partners come from.
        alpha: α, above 0. Small: one of the two images mostly prevails. 1: every λ is as likely.

    Returns:
        blended images and targets, shapes and dtypes as they came.

    Raises:
        ValueError: an array is of another shape or dtype, or `alpha` is not above 0.
    """
    _check(images, targets, alpha)
    share = rng.beta(float(alpha), float(alpha), size=1)
    partner = np.argsort(rng.random(len(images)))
    return _blended(images, images[partner], share), _blended(targets, targets[partner], share)


def _blended(one: Array, other: Array, share: Array) -> Array:
    """share · one + (1 − share) · other, in the dtype of both; the share is an array of one number."""
    share = share.astype(one.dtype if np.issubdtype(one.dtype, np.floating) else np.float64)
    blend = share * one + (1 - share) * other
    return np.rint(blend).astype(one.dtype) if one.dtype == np.uint8 else blend


def cutmix(images: Array, targets: Array, rng: Any, alpha: float) -> tuple[Array, Array]:
    """Paste a rectangle of another image of the batch into each image, and mix their targets by area.

    The rectangle has the image's proportions, an area of 1 - λ with λ from Beta(α, α), and its centre anywhere; it
    and λ are the same for the whole batch (Yun et al. 2019, "CutMix", equations 1 and 2). What reaches over an edge
    is cut off, and the targets follow the area that is left.

    Args:
        images: (B, 3, H, W), uint8 or float.
        targets: (B, K) float, each row's sum 1.
        rng: where λ, the rectangle and the partners come from.
        alpha: α, above 0.

    Returns:
        patched images and mixed targets, shapes and dtypes as they came.

    Raises:
        ValueError: an array is of another shape or dtype, or `alpha` is not above 0.
    """
    _check(images, targets, alpha)
    height, width = images.shape[2:]
    side = np.sqrt(1 - rng.beta(float(alpha), float(alpha), size=1))
    partner = np.argsort(rng.random(len(images)))
    rows, columns = _span(rng, height, side), _span(rng, width, side)
    patched = np.where(rows[:, None] & columns, images[partner], images)
    share = 1 - rows.sum() * columns.sum() / (height * width)
    return patched, _blended(targets, targets[partner], share.reshape(1))


def _span(rng: Any, length: int, side: Array) -> Array:
    """Which of `length` pixels are in a stretch of `side` (0..1) times the length around a centre, anywhere."""
    stretch, centre = np.rint(side * length).astype(np.int64), rng.integers(0, length, size=1)
    start, places = centre - stretch // 2, library(side).arange(length)
    return (start <= places) & (places < start + stretch)


def _check(images: Array, targets: Array, alpha: float) -> None:
    check_batch(images)
    if targets.ndim != 2 or len(targets) != len(images) or not np.issubdtype(targets.dtype, np.floating):
        raise ValueError(
            f"targets: got {targets.dtype} of shape {targets.shape}, expected a float of shape ({len(images)}, K)"
        )
    if not 0 < alpha < np.inf:
        raise ValueError(f"alpha: got {alpha}, expected a number above 0")
