"""Labelled images in memory, and their normalization."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from npswin.checks import check_array, check_dtype, check_numbers, check_text, describe, dtype_name, shown
from npswin.types import Array

# Of ImageNet's pixels: the normalization with which the official weights were trained.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """Images, each with one class.

    Attributes:
        images: (N, 3, H, W) uint8.
        labels: (N,) int64, each from 0 to K - 1 where K is the number of class names.
        class_names: K names.
        name: of the data in printed results, e.g. "CIFAR-10".
        split: the part of the data, e.g. "train".

    Raises:
        ValueError: an array has another shape or dtype, there is no image, a label has no class name, or a name is
            no text.
    """

    images: Array
    labels: Array
    class_names: tuple[str, ...]
    name: str
    split: str

    def __post_init__(self) -> None:
        _check_pixels(self.images)
        expected = f"int64 of shape ({len(self.images)},)"
        labels = check_array("labels", self.labels, expected)
        if labels.shape != (len(self.images),) or labels.dtype != np.int64:
            raise ValueError(f"labels: got {describe(labels)}, expected {expected}")
        names = self.class_names
        if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"class_names: got {shown(names)}, expected a tuple of names")
        object.__setattr__(self, "class_names", tuple(names))
        if labels.min() < 0 or labels.max() >= len(names):
            raise ValueError(
                f"labels: got values from {labels.min()} to {labels.max()}, "
                f"expected 0 to {len(names) - 1} for {len(names)} class names"
            )
        check_text("name", self.name)
        check_text("split", self.split)

    def __len__(self) -> int:
        return len(self.images)


def check_batch(images: Array) -> None:
    """Raise a ValueError unless images are (B, 3, H, W) with nothing empty, uint8 or float."""
    check_array("images", images, "an array (B, 3, H, W)")
    if images.ndim != 4 or images.shape[1] != 3 or images.size == 0:
        raise ValueError(f"images: got shape {images.shape}, expected (B, 3, H, W) with nothing empty")
    if images.dtype != np.uint8 and not np.issubdtype(images.dtype, np.floating):
        raise ValueError(f"images: got dtype {dtype_name(images.dtype)}, expected uint8 or a float")


def _check_pixels(images: Array) -> None:
    expected = "uint8 of shape (N, 3, H, W), not empty"
    check_array("images", images, expected)
    if images.ndim != 4 or images.shape[1] != 3 or images.dtype != np.uint8 or images.size == 0:
        raise ValueError(f"images: got {describe(images)}, expected {expected}")


def channel_statistics(images: Array) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Mean and standard deviation of each colour over all pixels of a training set.

    Args:
        images: (N, 3, H, W) uint8.

    Returns:
        mean and std, three numbers each, of pixels scaled to [0, 1], as `normalize` takes them.

    Raises:
        ValueError: `images` has another shape or dtype, or is empty.
    """
    _check_pixels(images)
    # From counts of the 256 values: exact, and without a float copy of the images.
    values = np.arange(256) / 255
    shares = [np.bincount(images[:, c].reshape(-1), minlength=256) / images[:, c].size for c in range(3)]
    means = [float(share @ values) for share in shares]
    stds = [float(np.sqrt(share @ (values - mean) ** 2)) for share, mean in zip(shares, means, strict=True)]
    return (means[0], means[1], means[2]), (stds[0], stds[1], stds[2])


def check_normalization(
    names: tuple[str, str], values: tuple[Any, Any], channels: int, dtype: DTypeLike
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel, with which pixels are normalized in a dtype; a ValueError if they do not fit.

    Args:
        names: of the two arguments.
        values: their values.
        channels: how many numbers each of them has to have.
        dtype: in which every normalized pixel, at most (1 + |mean|) / std, has to be finite.
    """
    mean = check_numbers(names[0], values[0], channels)
    std = check_numbers(names[1], values[1], channels, above=0)
    largest = float(np.finfo(dtype).max)
    if pairs := [pair for pair in zip(mean, std, strict=True) if (1 + abs(pair[0])) / largest > pair[1] / 2]:
        got = f"{names[0]}, {names[1]}: got {pairs[0][0]:g} and {pairs[0][1]:g}"
        raise ValueError(f"{got}, with which pixels become infinite in {np.dtype(dtype)}")
    return mean, std


def normalize(images: Array, mean: Sequence[float], std: Sequence[float], dtype: DTypeLike = np.float32) -> Array:
    """Pixels to a model's input: (x / 255 - mean) / std for each colour.

    Args:
        images: (B, 3, H, W), uint8 or float, 0 to 255; NumPy's or CuPy's.
        mean: of each colour, of pixels scaled to [0, 1].
        std: the same; above zero.
        dtype: of the result, a float.

    Returns:
        (B, 3, H, W) of that dtype.

    Raises:
        ValueError: `images` has another shape or dtype, `mean` or `std` does not have three numbers, a std is not above
            zero or so small that results would be infinite, or `dtype` is not a float.
    """
    check_batch(images)
    dtype = check_dtype("dtype", dtype)
    mean, std = check_normalization(("mean", "std"), (mean, std), 3, dtype)
    result = images.astype(dtype)
    for channel, (channel_mean, channel_std) in enumerate(zip(mean, std, strict=True)):
        result[:, channel] *= float(1 / (255 * np.float64(channel_std)))
        result[:, channel] += float(-np.float64(channel_mean) / np.float64(channel_std))
    return result
