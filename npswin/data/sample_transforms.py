"""Resizing, cropping and flipping a sample: image, label map, boxes and masks move together.

Each function takes a sample and returns a new one. Images may have any number of channels.

Boxes are clipped at the border of the image. An object that the border cuts gets the tight box of what is left of its
mask, where the sample has masks. An object of which nothing is left falls away, with its label and its mask.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from npswin.checks import check_instance, check_integer, shown
from npswin.data.samples import DetectionSample, SegmentationSample
from npswin.data.tight_boxes import tight_boxes
from npswin.types import Array

Sample = TypeVar("Sample", SegmentationSample, DetectionSample)

LARGEST_SIDE = 16384  # pixels


def resize_sample(sample: Sample, size: tuple[int, int]) -> Sample:
    """Resize the image bilinearly, by Pillow; label map and masks take the nearest pixel, boxes are scaled.

    Args:
        sample: of a dense task.
        size: height and width of the result, in pixels.

    Returns:
        A new sample.

    Raises:
        ValueError: an argument is of another type, or a side is not 1 to 16384.
        ImportError: Pillow is not installed.
    """
    check_sample(sample)
    height, width = check_image_size("size", size)
    old_height, old_width = sample.image.shape[1:]
    rows, columns = _nearest(old_height, height), _nearest(old_width, width)
    old, new = np.array([old_width, old_height] * 2), np.array([width, height] * 2)
    return _moved(
        sample,
        resize_image(sample.image, (height, width)),
        lambda maps: maps[..., rows[:, None], columns],
        # Multiplied first: a box that ends at the border still ends there exactly.
        lambda boxes: (boxes * new / old).astype(boxes.dtype),
    )


def crop_sample(sample: Sample, top: int, left: int, size: tuple[int, int]) -> Sample:
    """Cut out a part of the image, and of all that belongs to it.

    Args:
        sample: of a dense task.
        top, left: row and column of the part's first pixel.
        size: height and width of the part in pixels; it has to be within the image.

    Returns:
        A new sample.

    Raises:
        ValueError: an argument is of another type, or the part is not within the image.
    """
    check_sample(sample)
    (height, width), (full_height, full_width) = check_image_size("size", size), sample.image.shape[1:]
    if height > full_height or width > full_width:
        raise ValueError(f"size: got {shown(size)}, expected at most {full_height} and {full_width}, as the image")
    top = check_integer("top", top, 0, full_height - height)
    left = check_integer("left", left, 0, full_width - width)
    offset = np.array([left, top, left, top])

    def cut(maps: Array) -> Array:
        return maps[..., top : top + height, left : left + width].copy()

    return _moved(sample, cut(sample.image), cut, lambda boxes: (boxes - offset).astype(boxes.dtype))


def flip_sample(sample: Sample) -> Sample:
    """Mirror left and right.

    Args:
        sample: of a dense task.

    Returns:
        A new sample.

    Raises:
        ValueError: `sample` is of another type.
    """
    check_sample(sample)
    width = sample.image.shape[2]

    def mirror(boxes: Array) -> Array:
        x1, y1, x2, y2 = boxes.T
        return np.stack([width - x2, y1, width - x1, y2], axis=1)

    return _moved(sample, sample.image[..., ::-1].copy(), lambda maps: maps[..., ::-1].copy(), mirror)


def size_within(size: tuple[int, int], shorter: int, longer: int) -> tuple[int, int]:
    """The largest size of this aspect ratio whose sides are at most these numbers: that of MMDetection and MMCV.

    Args:
        size: height and width of an image, in pixels.
        shorter: that its shorter side may have.
        longer: that its longer side may have.

    Returns:
        Height and width, rounded, at least 1.

    Raises:
        ValueError: an argument is of another type or below 1, or `longer` is less than `shorter`.
    """
    height, width = check_image_size("size", size)
    shorter = check_integer("shorter", shorter, 1, LARGEST_SIDE)
    longer = check_integer("longer", longer, shorter, LARGEST_SIDE)
    scale = min(shorter / min(height, width), longer / max(height, width))
    return max(int(height * scale + 0.5), 1), max(int(width * scale + 0.5), 1)


def check_sample(sample: Any) -> None:
    """Raise a ValueError unless this is a sample of a dense task."""
    expected = "a SegmentationSample or a DetectionSample"
    check_instance("sample", sample, (SegmentationSample, DetectionSample), expected)


def check_image_size(name: str, size: tuple[int, int]) -> tuple[int, int]:
    """Height and width as Python's integers, or a ValueError that names the argument."""
    if not isinstance(size, list | tuple) or len(size) != 2:
        raise ValueError(f"{name}: got {shown(size)}, expected height and width")
    return check_integer(name, size[0], 1, LARGEST_SIDE), check_integer(name, size[1], 1, LARGEST_SIDE)


def _moved(
    sample: Sample, image: Array, move: Callable[[Array], Array], move_boxes: Callable[[Array], Array]
) -> Sample:
    """The sample with another image, where `move` takes maps (..., H, W) and `move_boxes` boxes (n, 4) to it."""
    if isinstance(sample, SegmentationSample):
        return replace(sample, image=image, labels=move(sample.labels))
    height, width = image.shape[1:]
    moved = move_boxes(sample.boxes)
    boxes = np.clip(moved, 0, np.array([width, height, width, height], moved.dtype))
    masks = None if sample.masks is None else move(sample.masks)
    is_left = np.ones(len(boxes), bool)
    if masks is not None:
        is_left = np.logical_or.reduce(masks, axis=(1, 2))
        is_cut = (boxes != moved).any(axis=1)
        boxes[is_cut] = tight_boxes(masks[is_cut])
    is_left = is_left & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    masks = None if masks is None else masks[is_left]
    labels, crowd = sample.labels[is_left], sample.crowd[is_left]
    return replace(sample, image=image, boxes=boxes[is_left], labels=labels, masks=masks, crowd=crowd)


def _nearest(old: int, new: int) -> Array:
    """For each pixel of a resized axis, the old pixel in which its centre is: (new,) int64."""
    return (2 * np.arange(new) + 1) * old // (2 * new)


def resize_image(image: Array, size: tuple[int, int]) -> Array:
    """An image (c, H, W) uint8 or uint16, resized bilinearly; where it becomes smaller, each pixel is an average."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("resizing images needs Pillow: pip install 'npswin[train]'") from error
    pillow_size, bilinear = (size[1], size[0]), Image.Resampling.BILINEAR
    pixels = image.astype(np.float32) if image.dtype == np.uint16 else image  # Pillow's 16 bits vary by version
    channels = [Image.fromarray(np.ascontiguousarray(channel)).resize(pillow_size, bilinear) for channel in pixels]
    resized = np.stack([np.asarray(channel) for channel in channels])
    return np.rint(resized).astype(np.uint16) if image.dtype == np.uint16 else resized
