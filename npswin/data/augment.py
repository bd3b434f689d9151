"""Random crops, flips and erasures of a batch: each image by its own draw, labels unchanged.

Every function takes images (B, 3, H, W), uint8 or float, and returns a new array of that shape and dtype.
"""

import numpy as np

from npswin.data.dataset import check_batch
from npswin.types import Array


def random_crop(images: Array, rng: np.random.Generator, padding: int = 4) -> Array:
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
    count, _, height, width = images.shape
    top, left = rng.integers(0, 2 * padding + 1, size=(2, count))
    padded = np.pad(images, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    crops = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(2, 3))
    return crops[np.arange(count), :, top, left]


def random_flip(images: Array, rng: np.random.Generator) -> Array:
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
    rng: np.random.Generator,
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
    erased = images.copy()
    for index in np.flatnonzero(rng.random(len(images)) < probability):
        _erase(erased[index], rng, area, aspect)
    return erased


def _erase(image: Array, rng: np.random.Generator, area: tuple[float, float], aspect: tuple[float, float]) -> None:
    """Fill one rectangle of image (3, H, W), in place."""
    height, width = image.shape[1:]
    for _ in range(10):
        pixels = rng.uniform(*area) * height * width
        ratio = np.exp(rng.uniform(*np.log(aspect)))
        rows, columns = round(np.sqrt(pixels * ratio)), round(np.sqrt(pixels / ratio))
        if 0 < rows <= height and 0 < columns <= width:
            top, left = rng.integers(0, height - rows + 1), rng.integers(0, width - columns + 1)
            box = image[:, top : top + rows, left : left + columns]
            box[...] = rng.integers(0, 256, box.shape) if image.dtype == np.uint8 else rng.standard_normal(box.shape)
            return
