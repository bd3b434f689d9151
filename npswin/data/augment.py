"""Random crop, flip and erasing of a batch: drawn independently for each image, labels unchanged.

Every function takes images (B, c, H, W) of any number of channels, uint8, uint16 or float, and returns a new array of
that shape and dtype. Images and generator may also be CuPy's; the computation is on the GPU then.
"""

from typing import Any

import numpy as np

from npswin.checks import check_generator, check_integer, check_number, check_numbers, shown
from npswin.data.dataset import check_batch, largest_pixel
from npswin.devices import array_module, on_gpu
from npswin.types import Array

LARGEST_PADDING = 1024  # pixels; a padded batch has to fit into memory


def random_crop(images: Array, rng: Any, padding: int = 4) -> Array:
    """Move each image by up to `padding` pixels along each axis; pixels from outside are zero.

    The crop of a zero-padded image in He et al. 2016, "Deep Residual Learning for Image Recognition", section 4.2.

    Args:
        images: (B, c, H, W), uint8, uint16 or float.
        rng: generator of the offsets.
        padding: pixels on each side, 0 to 1024.

    Returns:
        (B, c, H, W), the same dtype.

    Raises:
        ValueError: `images` is of another shape or dtype, or `padding` is out of its range.
    """
    check_batch(images)
    check_generator("rng", rng)
    padding = check_integer("padding", padding, 0, LARGEST_PADDING)
    count, channels, height, width = images.shape
    top, left = rng.integers(0, 2 * padding + 1, size=(2, count))
    padded = np.pad(images, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    # Flat indices: of each crop's first pixel in the padded batch, and of a crop's pixels relative to the first one.
    arange, (padded_height, padded_width) = array_module(images).arange, padded.shape[2:]
    starts = (arange(count) * channels * padded_height + top) * padded_width + left
    rows = arange(channels)[:, None, None] * padded_height + arange(height)[:, None]
    return np.take(padded, starts[:, None, None, None] + rows * padded_width + arange(width))


def random_flip(images: Array, rng: Any) -> Array:
    """Flip each image left to right with probability 1/2.

    Args:
        images: (B, c, H, W), uint8, uint16 or float.
        rng: generator of the choices.

    Returns:
        (B, c, H, W), the same dtype.

    Raises:
        ValueError: `images` is of another shape or dtype.
    """
    check_batch(images)
    check_generator("rng", rng)
    flipped = rng.random(len(images)) < 0.5
    return np.where(flipped[:, None, None, None], images[..., ::-1], images)


def random_erasing(
    images: Array,
    rng: Any,
    probability: float = 0.25,
    area: tuple[float, float] = (0.02, 1 / 3),
    aspect: tuple[float, float] = (0.3, 3.3),
) -> Array:
    """Fill a rectangle of some images with noise (Zhong et al. 2020, "Random Erasing Data Augmentation", algorithm 1).

    The noise is uniform over all values of uint8 or uint16, and standard normal for floats, which must be normalized.

    Args:
        images: (B, c, H, W), uint8, uint16 or float.
        rng: generator of the rectangles and the noise.
        probability: with which an image gets a rectangle.
        area: smallest and largest share of the image that a rectangle covers, drawn uniformly.
        aspect: smallest and largest height / width of a rectangle, drawn uniformly on a log scale. A rectangle that
            does not fit is drawn again, up to ten times; then the image is unchanged.

    Returns:
        (B, c, H, W), the same dtype.

    Raises:
        ValueError: `images` is of another shape or dtype, or `probability`, `area` or `aspect` is out of range.
    """
    check_batch(images)
    check_generator("rng", rng)
    probability = check_number("probability", probability, at_least=0, at_most=1)
    area = _check_interval("area", area, above=0, at_most=1)
    aspect = _check_interval("aspect", aspect, above=0)
    is_chosen = rng.random(len(images)) < probability
    rectangles = _rectangle_masks(rng, len(images), images.shape[2:], area, aspect)
    mask = np.broadcast_to((is_chosen[:, None, None] & rectangles)[:, None], images.shape)
    if on_gpu(images):  # counting the mask's pixels would wait for the GPU
        return np.where(mask, _noise(rng, images.shape, images.dtype), images)
    erased = images.copy()
    erased[mask] = _noise(rng, int(np.count_nonzero(mask)), images.dtype)
    return erased


def _check_interval(name: str, value: Any, **bounds: float) -> tuple[float, float]:
    low, high = check_numbers(name, value, 2, **bounds)
    if low > high:
        raise ValueError(f"{name}: got {shown(value)}, expected the smaller number first")
    return low, high


def _noise(rng: Any, shape: Any, dtype: Any) -> Array:
    if np.issubdtype(dtype, np.unsignedinteger):
        return rng.integers(0, largest_pixel(dtype) + 1, shape).astype(dtype)
    return rng.standard_normal(shape, dtype=dtype if dtype == np.float64 else np.float32).astype(dtype, copy=False)


def _rectangle_masks(
    rng: Any, count: int, size: tuple[int, ...], area: tuple[float, float], aspect: tuple[float, float]
) -> Array:
    """(count, H, W), True inside a rectangle that is drawn for each image; all False where none of ten fits."""
    tries, (height, width) = 10, size
    pixels = (area[0] + (area[1] - area[0]) * rng.random((tries, count))) * (height * width)
    low, high = np.log(aspect).tolist()
    ratio = np.exp(low + (high - low) * rng.random((tries, count)))
    rows, columns = np.rint(np.sqrt(pixels * ratio)), np.rint(np.sqrt(pixels / ratio))
    fits = (rows > 0) & (rows <= height) & (columns > 0) & (columns <= width)
    is_first_fit = fits & (np.cumsum(fits, axis=0) == 1)
    rows, columns = (rows * is_first_fit).sum(axis=0), (columns * is_first_fit).sum(axis=0)
    top, left = (
        np.floor(rng.random(count) * (length - extent + 1)) for length, extent in ((height, rows), (width, columns))
    )
    y, x = (array_module(rows).arange(length) for length in (height, width))
    in_rows = (y >= top[:, None]) & (y < (top + rows)[:, None])
    in_columns = (x >= left[:, None]) & (x < (left + columns)[:, None])
    return in_rows[:, :, None] & in_columns[:, None, :]
