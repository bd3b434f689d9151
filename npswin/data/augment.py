"""Random crops, flips and erasures of a batch: each image by its own draw, labels unchanged.

Every function takes images (B, 3, H, W), uint8 or float, and returns a new array of that shape and dtype. Images and
generator may also be CuPy's; then the numbers are drawn, and stay, on the GPU.
"""

from typing import Any

import numpy as np

from npswin.data.dataset import check_batch
from npswin.devices import library, on_gpu
from npswin.types import Array


def random_crop(images: Array, rng: Any, padding: int = 4) -> Array:
    """Move each image by up to `padding` pixels along each axis; zeros come in at the edges.

    The crop of a zero-padded image in He et al. 2016, "Deep Residual Learning for Image Recognition", section 4.2.

    Args:
        images: (B, 3, H, W), uint8 or float.
        rng: where the offsets come from.
        padding: pixels on each side, 0 or more.

    Returns:
        (B, 3, H, W), the same dtype.

    Raises:
        ValueError: `images` is of another shape or dtype, or `padding` is negative.
    """
    check_batch(images)
    if padding < 0:
        raise ValueError(f"padding: got {padding}, expected 0 or more pixels")
    count, channels, height, width = images.shape
    top, left = rng.integers(0, 2 * padding + 1, size=(2, count))
    padded = np.pad(images, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    count_up, (down, across) = library(images).arange, padded.shape[2:]
    corners = (count_up(count) * channels * down + top) * across + left
    planes = (count_up(channels)[:, None, None] * down + count_up(height)[:, None]) * across + count_up(width)
    return np.take(padded, corners[:, None, None, None] + planes)


def random_flip(images: Array, rng: Any) -> Array:
    """Mirror each image left to right with probability 1/2.

    Args:
        images: (B, 3, H, W), uint8 or float.
        rng: where the choices come from.

    Returns:
        (B, 3, H, W), the same dtype.

    Raises:
        ValueError: `images` is of another shape or dtype.
    """
    check_batch(images)
    mirrored = rng.random(len(images)) < 0.5
    return np.where(mirrored[:, None, None, None], images[..., ::-1], images)


def random_erasing(
    images: Array,
    rng: Any,
    probability: float = 0.25,
    area: tuple[float, float] = (0.02, 1 / 3),
    aspect: tuple[float, float] = (0.3, 3.3),
) -> Array:
    """Fill a rectangle of some images with noise (Zhong et al. 2020, "Random Erasing Data Augmentation", algorithm 1).

    The noise is uniform in 0..255 for uint8 and standard normal for floats, which are taken to be normalized.

    Args:
        images: (B, 3, H, W), uint8 or float.
        rng: where the rectangles and the noise come from.
        probability: of an image to be touched.
        area: smallest and largest share of the image that a rectangle covers, drawn uniformly.
        aspect: smallest and largest height of a rectangle over its width, drawn uniformly on a log scale. A
            rectangle that does not fit is drawn again, up to ten times; then the image is left as it is.

    Returns:
        (B, 3, H, W), the same dtype.

    Raises:
        ValueError: `images` is of another shape or dtype, `probability` is no probability, or a range is empty or
            reaches outside what a share or a ratio can be.
    """
    check_batch(images)
    if not 0 <= probability <= 1:
        raise ValueError(f"probability: got {probability}, expected 0 to 1")
    if not 0 < area[0] <= area[1] <= 1:
        raise ValueError(f"area: got {area}, expected two rising shares between 0 and 1")
    if not 0 < aspect[0] <= aspect[1] < np.inf:
        raise ValueError(f"aspect: got {aspect}, expected two rising ratios above 0")
    touched = rng.random(len(images)) < probability
    boxes = _boxes(rng, len(images), images.shape[2:], area, aspect)
    inside = np.broadcast_to((touched[:, None, None] & boxes)[:, None], images.shape)
    if on_gpu(images):  # which would have to tell how many pixels that are
        return np.where(inside, _noise(rng, images.shape, images.dtype), images)
    erased = images.copy()
    erased[inside] = _noise(rng, int(np.count_nonzero(inside)), images.dtype)
    return erased


def _noise(rng: Any, shape: Any, dtype: Any) -> Array:
    if dtype == np.uint8:
        return rng.integers(0, 256, shape).astype(np.uint8)
    return rng.standard_normal(shape, dtype=dtype if dtype == np.float64 else np.float32).astype(dtype, copy=False)


def _boxes(
    rng: Any, count: int, size: tuple[int, ...], area: tuple[float, float], aspect: tuple[float, float]
) -> Array:
    """(count, H, W), True inside of a rectangle that is drawn for each image; nowhere, if none of ten fits."""
    tries, (height, width) = 10, size
    pixels = (area[0] + (area[1] - area[0]) * rng.random((tries, count))) * (height * width)
    low, high = np.log(aspect).tolist()
    ratio = np.exp(low + (high - low) * rng.random((tries, count)))
    rows, columns = np.rint(np.sqrt(pixels * ratio)), np.rint(np.sqrt(pixels / ratio))
    fits = (rows > 0) & (rows <= height) & (columns > 0) & (columns <= width)
    chosen = fits & (np.cumsum(fits, axis=0) == 1)  # the first of them
    rows, columns = (rows * chosen).sum(axis=0), (columns * chosen).sum(axis=0)
    top, left = (
        np.floor(rng.random(count) * (length - taken + 1)) for length, taken in ((height, rows), (width, columns))
    )
    lines, places = (library(rows).arange(length) for length in (height, width))
    vertical = (lines >= top[:, None]) & (lines < (top + rows)[:, None])
    horizontal = (places >= left[:, None]) & (places < (left + columns)[:, None])
    return vertical[:, :, None] & horizontal[:, None, :]
