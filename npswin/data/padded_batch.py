"""Batches of images of different sizes, padded to the right and below.

What of a batch is image stays known: by its sizes, and by the label 255 in label maps. Normalization comes before
padding, as in the official code: `normalize_padded` sets the padding of a model's input to zero.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import DTypeLike

from npswin.checks import check_array, check_instance, check_integer, describe, shown
from npswin.data.dataset import check_batch, normalize
from npswin.data.sample_transforms import LARGEST_SIDE
from npswin.data.samples import IGNORED, DetectionSample, SegmentationSample
from npswin.devices import array_module, to_device_of
from npswin.types import Array


@dataclass(frozen=True, eq=False)
class SegmentationBatch:
    """Images with label maps.

    Attributes:
        images: (B, c, H, W) uint8, zero where there is padding.
        sizes: (B, 2) int64, height and width of each image without its padding.
        labels: (B, H, W) int64, 255 where there is padding, or where a pixel is ignored.
    """

    images: Array
    sizes: Array
    labels: Array


@dataclass(frozen=True, eq=False)
class DetectionBatch:
    """Images with objects.

    Attributes:
        images: (B, c, H, W) uint8, zero where there is padding.
        sizes: (B, 2) int64, height and width of each image without its padding.
        samples: B samples without padding. Since padding is to the right and below, coordinates are the same.
    """

    images: Array
    sizes: Array
    samples: tuple[DetectionSample, ...]


@overload
def padded_batch(samples: Sequence[SegmentationSample], divisor: int = 32) -> SegmentationBatch: ...
@overload
def padded_batch(samples: Sequence[DetectionSample], divisor: int = 32) -> DetectionBatch: ...
def padded_batch(
    samples: Sequence[SegmentationSample | DetectionSample], divisor: int = 32
) -> SegmentationBatch | DetectionBatch:
    """Put samples into one batch, with the smallest height and width that hold them all.

    Args:
        samples: at least one, all of one task and with the same number of channels.
        divisor: height and width of the batch are multiples of it.

    Returns:
        A batch of the samples' task, in their order.

    Raises:
        ValueError: an argument is of another type, or the samples do not fit together.
    """
    _check_samples(samples)
    divisor = check_integer("divisor", divisor, 1, LARGEST_SIDE)
    sizes = np.array([sample.image.shape[1:] for sample in samples], np.int64)
    height, width = (-(-sizes.max(axis=0) // divisor) * divisor).tolist()
    images = np.zeros((len(samples), samples[0].image.shape[0], height, width), np.uint8)
    for image, sample, (own_height, own_width) in zip(images, samples, sizes, strict=True):
        image[:, :own_height, :own_width] = sample.image
    if with_objects := tuple(sample for sample in samples if isinstance(sample, DetectionSample)):
        return DetectionBatch(images, sizes, with_objects)
    labels = np.full((len(samples), height, width), IGNORED, np.int64)
    for padded, own in zip(labels, [sample.labels for sample in samples], strict=True):
        padded[: own.shape[0], : own.shape[1]] = own
    return SegmentationBatch(images, sizes, labels)


def normalize_padded(
    images: Array, sizes: Array, mean: Sequence[float], std: Sequence[float], dtype: DTypeLike = np.float32
) -> Array:
    """Pixels of a padded batch to a model's input: normalized, and zero where there is padding.

    Args:
        images: (B, c, H, W) uint8, NumPy's or CuPy's.
        sizes: (B, 2) integers, height and width of each image without its padding.
        mean: of each channel, of pixels scaled to [0, 1].
        std: the same; above zero.
        dtype: of the result, a float.

    Returns:
        (B, c, H, W) of that dtype.

    Raises:
        ValueError: an argument does not fit; see `normalize`.
    """
    check_batch(images)
    expected = f"integers of shape ({len(images)}, 2)"
    check_array("sizes", sizes, expected)
    if sizes.shape != (len(images), 2) or sizes.dtype.kind not in "iu":
        raise ValueError(f"sizes: got {describe(sizes)}, expected {expected}")
    inputs = normalize(images, mean, std, dtype)
    sizes, arange = to_device_of(sizes, images), array_module(images).arange
    is_row, is_column = (arange(side) < sizes[:, axis, None] for axis, side in enumerate(images.shape[2:]))
    inputs *= (is_row[:, :, None] & is_column[:, None, :])[:, None]
    return inputs


def _check_samples(samples: Sequence[SegmentationSample | DetectionSample]) -> None:
    """Raise a ValueError unless these are samples of one task, and one number of channels."""
    if not isinstance(samples, list | tuple) or not samples:
        raise ValueError(f"samples: got {shown(samples)}, expected a list of at least one sample")
    for sample in samples:
        check_instance("samples", sample, (SegmentationSample, DetectionSample), "samples of a dense task")
    if len({type(sample) for sample in samples}) > 1:
        raise ValueError("samples: got some with label maps and some with objects, expected those of one task")
    channels = sorted({sample.image.shape[0] for sample in samples})
    if len(channels) > 1:
        raise ValueError(f"samples: got images of {' and '.join(map(str, channels))} channels, expected one number")
