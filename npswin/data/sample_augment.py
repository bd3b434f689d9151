"""Augmentation of samples of dense tasks: image, label map, boxes and masks are moved together.

Each function takes a sample and a generator, and returns a new sample; it draws its random numbers from the generator
alone, as many of them whatever the sample is. The order of the official training pipelines: resize, crop, flip, and
colours (`colour_distortion.py`); those for detection have no crop and no change of colours.
"""

from collections.abc import Sequence

import numpy as np

from npswin.checks import check_generator, check_number, check_numbers, shown
from npswin.data.sample_transforms import (
    Sample,
    check_image_size,
    check_sample,
    crop_sample,
    flip_sample,
    resize_sample,
    size_within,
)
from npswin.data.samples import IGNORED, SegmentationSample

# Of Swin's detectors: the shorter side is one of these, the longer one at most 1333.
SHORTER_SIDES = tuple(range(480, 801, 32))
CROP_TRIES = 10


def random_resize(
    sample: Sample, rng: np.random.Generator, shorter: Sequence[int] = SHORTER_SIDES, longer: int = 1333
) -> Sample:
    """Resize to a shorter side that is drawn from a few, keeping the aspect ratio.

    The multi-scale training of Liu et al. 2021, "Swin Transformer", section 4.2, as in DETR: 480 to 800.

    Args:
        sample: of a dense task.
        rng: generator of the choice.
        shorter: lengths of the shorter side in pixels, each as probable as the others.
        longer: the most that the longer side may have; where it would have more, both sides are shorter.

    Returns:
        A new sample.

    Raises:
        ValueError: an argument is of another type or out of range.
        ImportError: Pillow is not installed.
    """
    check_sample(sample)
    check_generator("rng", rng)
    if not isinstance(shorter, list | tuple) or not shorter:
        raise ValueError(f"shorter: got {shown(shorter)}, expected a tuple of lengths")
    sizes = [size_within(sample.image.shape[1:], side, longer) for side in shorter]
    return resize_sample(sample, sizes[int(rng.integers(len(sizes)))])


def random_rescale(
    sample: Sample,
    rng: np.random.Generator,
    shorter: int = 512,
    longer: int = 2048,
    ratios: tuple[float, float] = (0.5, 2.0),
) -> Sample:
    """Resize to a size times a random ratio, keeping the aspect ratio: MMSegmentation's training on ADE20K.

    Args:
        sample: of a dense task.
        rng: generator of the ratio.
        shorter: that the shorter side has at most, for a ratio of 1.
        longer: that the longer side has at most, for a ratio of 1.
        ratios: the smallest and the largest ratio, drawn uniformly.

    Returns:
        A new sample.

    Raises:
        ValueError: an argument is of another type or out of range.
        ImportError: Pillow is not installed.
    """
    check_sample(sample)
    check_generator("rng", rng)
    low, high = check_numbers("ratios", ratios, 2, above=0, at_most=100)
    if low > high:
        raise ValueError(f"ratios: got {shown(ratios)}, expected the smaller number first")
    size_within(sample.image.shape[1:], shorter, longer)  # checks them
    ratio = low + (high - low) * float(rng.random())
    sides = max(int(shorter * ratio), 1), max(int(longer * ratio), 1)
    return resize_sample(sample, size_within(sample.image.shape[1:], *sides))


def random_crop_sample(
    sample: Sample, rng: np.random.Generator, size: tuple[int, int], largest_share: float = 1.0
) -> Sample:
    """Cut out a part of a random place; a side of the image that is shorter than the part stays as it is.

    Args:
        sample: of a dense task.
        rng: generator of the place.
        size: height and width of the part in pixels.
        largest_share: of a class among the pixels with a label, in a label map. A part with a single class or with a
            larger share is drawn again, up to ten times; the eleventh is taken as it is. MMSegmentation's
            `cat_max_ratio`, which is 0.75. With 1, any part is taken; objects have no label map.

    Returns:
        A new sample.

    Raises:
        ValueError: an argument is of another type or out of range.
    """
    check_sample(sample)
    check_generator("rng", rng)
    largest_share = check_number("largest_share", largest_share, above=0, at_most=1)
    height, width = (
        min(side, own) for side, own in zip(check_image_size("size", size), sample.image.shape[1:], strict=True)
    )
    places = rng.random((CROP_TRIES + 1, 2)) * [sample.image.shape[1] - height + 1, sample.image.shape[2] - width + 1]
    for top, left in places.astype(np.int64).tolist():
        if largest_share == 1 or not isinstance(sample, SegmentationSample):
            break
        labels = sample.labels[top : top + height, left : left + width]
        _, counts = np.unique(labels[labels != IGNORED], return_counts=True)
        if len(counts) > 1 and counts.max() < largest_share * counts.sum():
            break
    return crop_sample(sample, top, left, (height, width))


def random_flip_sample(sample: Sample, rng: np.random.Generator) -> Sample:
    """Mirror left and right with probability 1/2.

    Args:
        sample: of a dense task.
        rng: generator of the choice.

    Returns:
        A new sample, or the sample itself.

    Raises:
        ValueError: an argument is of another type.
    """
    check_sample(sample)
    check_generator("rng", rng)
    return flip_sample(sample) if rng.random() < 0.5 else sample
