"""Mixup and CutMix, which combine two images and their targets.

Arrays and generator may also be CuPy's; the computation is on the GPU then.
"""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from npswin.checks import check_array, check_dtype, check_generator, check_number, check_size, describe
from npswin.data.dataset import check_batch
from npswin.devices import array_module, on_gpu
from npswin.types import Array

LARGEST_ALPHA = 1e9  # of the Beta distribution: λ is 1/2 to four digits


def one_hot(labels: Array, num_classes: int, dtype: DTypeLike = np.float32) -> Array:
    """Targets with probability 1 for one class.

    Args:
        labels: (B,) integers, 0 to K - 1.
        num_classes: K.
        dtype: of the result, a float.

    Returns:
        (B, K), a 1 in each row and zeros elsewhere. On a GPU, where a check would wait for the labels, a label out of
        range gives a row of NaN.

    Raises:
        ValueError: `labels` is not a vector of integers, one of them is out of range, or another argument is wrong.
    """
    num_classes, dtype = check_size("num_classes", num_classes), check_dtype("dtype", dtype)
    check_labels("labels", labels, num_classes)
    targets = (labels[:, None] == array_module(labels).arange(num_classes)).astype(dtype)
    return targets / targets.sum(axis=1, keepdims=True)  # 0 / 0 is NaN


def check_labels(name: str, labels: Array, num_classes: int) -> None:
    """Raise a ValueError unless an argument of this name has (B,) integers, 0 to K - 1 where they are not on a GPU."""
    check_array(name, labels, "integers of shape (B,)")
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ValueError(f"{name}: got {describe(labels)}, expected integers of shape (B,)")
    if not on_gpu(labels) and labels.size and (labels.min() < 0 or labels.max() >= num_classes):
        raise ValueError(f"{name}: got values from {labels.min()} to {labels.max()}, expected 0 to {num_classes - 1}")


def are_distributions(rows: Array) -> bool:
    """Whether each row is a distribution over the classes: no number below 0 or NaN, their sum 1."""
    return bool((rows >= 0).all()) and np.allclose(rows.sum(axis=1), 1, atol=1e-3)


def mixup(images: Array, targets: Array, rng: Any, alpha: float) -> tuple[Array, Array]:
    """Blend each image with another of the batch, and their targets in the same way.

    λ x + (1 - λ) x', λ from Beta(α, α), one λ per batch (Zhang et al. 2018, "mixup: Beyond Empirical Risk
    Minimization", section 2).

    Args:
        images: (B, c, H, W), uint8 or uint16 (blends are rounded) or float.
        targets: (B, K) float, each row's sum 1.
        rng: generator of λ and the partners.
        alpha: α, above 0. With a small α, λ is mostly near 0 or 1; with 1, it is uniform.

    Returns:
        blended images and targets, of the same shapes and dtypes.

    Raises:
        ValueError: an array is of another shape or dtype, a target is no distribution, or `alpha` is not above 0.
    """
    alpha = _check(images, targets, rng, alpha)
    weight = rng.beta(alpha, alpha, size=1)
    partner = np.argsort(rng.random(len(images)))
    return _blend(images, images[partner], weight), _blend(targets, targets[partner], weight)


def _blend(one: Array, other: Array, weight: Array) -> Array:
    """weight · one + (1 − weight) · other, in the dtype of both; the weight is an array of one number."""
    weight = weight.astype(one.dtype if np.issubdtype(one.dtype, np.floating) else np.float64)
    blend = weight * one + (1 - weight) * other
    return np.rint(blend).astype(one.dtype) if np.issubdtype(one.dtype, np.unsignedinteger) else blend


def cutmix(images: Array, targets: Array, rng: Any, alpha: float) -> tuple[Array, Array]:
    """Paste a rectangle of another image of the batch into each image, and mix their targets by area.

    The rectangle has the image's aspect ratio, an area of 1 - λ with λ from Beta(α, α), and a uniform centre; it and λ
    are the same for the whole batch (Yun et al. 2019, "CutMix", equations 1 and 2). Parts outside the image are cut
    off, and the targets' weights are the areas after that.

    Args:
        images: (B, c, H, W), uint8, uint16 or float.
        targets: (B, K) float, each row's sum 1.
        rng: generator of λ, the rectangle and the partners.
        alpha: α, above 0.

    Returns:
        mixed images and targets, of the same shapes and dtypes.

    Raises:
        ValueError: an array is of another shape or dtype, a target is no distribution, or `alpha` is not above 0.
    """
    alpha = _check(images, targets, rng, alpha)
    height, width = images.shape[2:]
    relative_side = np.sqrt(1 - rng.beta(alpha, alpha, size=1))
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


def _check(images: Array, targets: Array, rng: Any, alpha: float) -> float:
    """Check the arguments; returns alpha."""
    check_batch(images)
    expected = f"a float of shape ({len(images)}, K)"
    check_array("targets", targets, expected)
    if targets.ndim != 2 or len(targets) != len(images) or not np.issubdtype(targets.dtype, np.floating):
        raise ValueError(f"targets: got {describe(targets)}, expected {expected}")
    if not on_gpu(targets) and not are_distributions(targets):
        raise ValueError("targets: got rows that are no distributions, expected rows >= 0 that sum to 1")
    check_generator("rng", rng)
    return check_number("alpha", alpha, above=0, at_most=LARGEST_ALPHA)
