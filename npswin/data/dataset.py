"""Labelled images in memory, and their normalization."""

import zlib
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

PIXEL_DTYPES = ("uint8", "uint16")


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """Images, each with one class.

    Attributes:
        images: (N, c, H, W) uint8 or uint16, of any number of channels.
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

    def describe(self) -> dict[str, Any]:
        """Name, split, shape of the images and checksum, by which a resumed run recognizes its data."""
        checksum = 0
        for array in (self.images, self.labels):
            checksum = zlib.crc32(np.ascontiguousarray(array).data, checksum)
        return {"name": self.name, "split": self.split, "shape": list(self.images.shape), "crc32": checksum}


def check_batch(images: Array) -> None:
    """Raise a ValueError unless images are (B, c, H, W) with nothing empty, of pixels or float."""
    check_array("images", images, "an array (B, c, H, W)")
    if images.ndim != 4 or images.size == 0:
        raise ValueError(f"images: got shape {images.shape}, expected (B, c, H, W) with nothing empty")
    if not has_pixels(images) and not np.issubdtype(images.dtype, np.floating):
        raise ValueError(f"images: got dtype {dtype_name(images.dtype)}, expected uint8, uint16 or a float")


def has_pixels(images: Array) -> bool:
    """Whether images have whole numbers from 0 to `largest_pixel`."""
    return images.dtype.isnative and images.dtype.name in PIXEL_DTYPES


def largest_pixel(dtype: DTypeLike) -> int:
    """White, the pixel that is 1 once it is scaled: 255 in 8 bits and in floats, 65535 in 16 bits."""
    return 65535 if dtype == np.uint16 else 255


def channels_last_hint(images: Array, channels: int) -> str:
    """What to do with images whose last axis has so many channels instead of their second; else an empty text."""
    is_last = images.shape[1] != channels == images.shape[3]
    return "; channels come before rows and columns: images.transpose(0, 3, 1, 2)" if is_last else ""


def _check_pixels(images: Array) -> None:
    expected = "uint8 or uint16 of shape (N, c, H, W), not empty"
    check_array("images", images, expected)
    if images.ndim != 4 or not has_pixels(images) or images.size == 0:
        raise ValueError(f"images: got {describe(images)}, expected {expected}")


def channel_statistics(images: Array) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel over all pixels of a training set.

    Args:
        images: (N, c, H, W) uint8 or uint16.

    Returns:
        mean and std, a number for each channel, of pixels scaled to [0, 1], as `normalize` takes them.

    Raises:
        ValueError: `images` has another shape or dtype, or is empty.
    """
    _check_pixels(images)
    # From counts of the 256 or 65536 values: exact, and without a float copy of the images.
    values = largest_pixel(images.dtype) + 1
    return statistics_of_counts([np.bincount(x.reshape(-1), minlength=values) for x in images.swapaxes(0, 1)])


def statistics_of_counts(counts: Sequence[Array]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, scaled to [0, 1], from the count of each of 256 or 65536 values."""
    values = np.arange(len(counts[0])) / (len(counts[0]) - 1)
    shares = [count / count.sum() for count in counts]
    means = [float(share @ values) for share in shares]
    stds = [float(np.sqrt(share @ (values - mean) ** 2)) for share, mean in zip(shares, means, strict=True)]
    return tuple(means), tuple(stds)


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
    """Pixels to a model's input: (x / 255 - mean) / std for each channel, with 65535 for 255 where x is uint16.

    Args:
        images: (B, c, H, W), uint8 or float, 0 to 255, or uint16, 0 to 65535; NumPy's or CuPy's.
        mean: of each channel, of pixels scaled to [0, 1].
        std: the same; above zero.
        dtype: of the result, a float.

    Returns:
        (B, c, H, W) of that dtype.

    Raises:
        ValueError: `images` has another shape or dtype, `mean` or `std` does not have a number for each channel, a std
            is not above zero or so small that results would be infinite, or `dtype` is not a float.
    """
    check_batch(images)
    dtype = check_dtype("dtype", dtype)
    if isinstance(mean, list | tuple) and (hint := channels_last_hint(images, len(mean))):
        raise ValueError(f"images, mean: got shape {images.shape} and {len(mean)} numbers{hint}")
    mean, std = check_normalization(("mean", "std"), (mean, std), images.shape[1], dtype)
    white = largest_pixel(images.dtype)
    # float16 has no 65535
    result = images.astype(np.promote_types(dtype, np.float32) if white > 255 else dtype)
    for channel, (channel_mean, channel_std) in enumerate(zip(mean, std, strict=True)):
        result[:, channel] *= float(1 / (white * np.float64(channel_std)))
        result[:, channel] += float(-np.float64(channel_mean) / np.float64(channel_std))
    return result.astype(dtype, copy=False)
