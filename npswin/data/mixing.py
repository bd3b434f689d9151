"""Two images in one, and the soft targets that go with it."""

import numpy as np
from numpy.typing import DTypeLike

from npswin.data.dataset import check_batch
from npswin.types import Array


def one_hot(labels: Array, num_classes: int, dtype: DTypeLike = np.float32) -> Array:
    """Targets that put all weight on one class.

    Args:
        labels: (B,) integers, 0 to K - 1.
        num_classes: K.
        dtype: of the result.

    Returns:
        (B, K), a 1 in each row and zeros elsewhere.

    Raises:
        ValueError: `labels` is no vector of integers, or one of them is out of range.
    """
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels: got {labels.dtype} of shape {labels.shape}, expected integers of shape (B,)")
    if labels.size and (labels.min() < 0 or labels.max() >= num_classes):
        raise ValueError(f"labels: got values from {labels.min()} to {labels.max()}, expected 0 to {num_classes - 1}")
    targets = np.zeros((len(labels), num_classes), dtype)
    targets[np.arange(len(labels)), labels] = 1
    return targets


def mixup(images: Array, targets: Array, rng: np.random.Generator, alpha: float) -> tuple[Array, Array]:
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
    share = float(rng.beta(alpha, alpha))
    partner = rng.permutation(len(images))
    blend = share * images + (1 - share) * images[partner]
    if images.dtype == np.uint8:
        blend = np.rint(blend)
    return blend.astype(images.dtype, copy=False), share * targets + (1 - share) * targets[partner]


def cutmix(images: Array, targets: Array, rng: np.random.Generator, alpha: float) -> tuple[Array, Array]:
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
    side = np.sqrt(1 - rng.beta(alpha, alpha))
    partner = rng.permutation(len(images))
    rows = _span(rng, height, side)
    columns = _span(rng, width, side)
    patched = images.copy()
    patched[:, :, rows, columns] = images[partner][:, :, rows, columns]
    share = 1 - (rows.stop - rows.start) * (columns.stop - columns.start) / (height * width)
    return patched, share * targets + (1 - share) * targets[partner]


def _span(rng: np.random.Generator, length: int, side: float) -> slice:
    """A stretch of `side` (0..1) times `length` pixels around a centre in 0..length - 1, clipped to the image."""
    stretch, centre = round(side * length), int(rng.integers(length))
    start = centre - stretch // 2
    return slice(max(start, 0), min(start + stretch, length))


def _check(images: Array, targets: Array, alpha: float) -> None:
    check_batch(images)
    if targets.ndim != 2 or len(targets) != len(images) or not np.issubdtype(targets.dtype, np.floating):
        raise ValueError(
            f"targets: got {targets.dtype} of shape {targets.shape}, expected a float of shape ({len(images)}, K)"
        )
    if not 0 < alpha < np.inf:
        raise ValueError(f"alpha: got {alpha}, expected a number above 0")
