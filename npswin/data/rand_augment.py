"""RandAugment (Cubuk et al. 2020, "RandAugment: Practical automated data augmentation with a reduced search space").

Its fourteen operations, computed by Pillow. An operation takes an image and a strength in [0, 1], or in [-1, 1] if it
has two directions.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from npswin.checks import check_generator, check_integer, check_number, dtype_name
from npswin.data.dataset import check_batch
from npswin.types import Array

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_OPS = 100  # operations per image, after which nothing of it is left

_GREY = (128, 128, 128)


def rand_augment(images: Array, rng: Any, num_ops: int = 2, magnitude: float = 9) -> Array:
    """Apply to each image some of the fourteen operations, drawn with equal probability.

    Args:
        images: (B, 3, H, W) uint8.
        rng: generator of the operations and their directions.
        num_ops: operations per image, one after the other, 0 to 100 (N in the paper).
        magnitude: their strength, 0 to 10 (M in the paper).

    Returns:
        (B, 3, H, W) uint8.

    Raises:
        ValueError: `images` is of another shape or dtype, such as images of one or four channels, or of 16 bits;
            `num_ops` or `magnitude` is out of range.
        ImportError: Pillow is not installed.
    """
    num_ops, magnitude = check_arguments(images, rng, num_ops, magnitude)
    return apply_operations(images, *draw_operations(rng, len(images), num_ops), magnitude)


def check_arguments(images: Array, rng: Any, num_ops: int, magnitude: float) -> tuple[int, float]:
    """Raise a ValueError for arguments that `rand_augment` does not take; returns the last two as Python's numbers."""
    check_batch(images)
    if images.dtype != np.uint8:
        hint = "RandAugment has operations on 8 bits" if images.dtype == np.uint16 else "augment before normalizing"
        raise ValueError(f"images: got dtype {dtype_name(images.dtype)}, expected uint8 ({hint})")
    if images.shape[1] != 3:
        got = f"images: got shape {images.shape} with {images.shape[1]} channels"
        raise ValueError(f"{got}, expected (B, 3, H, W): RandAugment has operations on red, green and blue")
    check_generator("rng", rng)
    return check_integer("num_ops", num_ops, 0, MOST_OPS), check_number("magnitude", magnitude, at_least=0, at_most=10)


def draw_operations(rng: Any, count: int, num_ops: int) -> tuple[Array, Array]:
    """For each image some indices into OPERATIONS and signs, 1 or -1: both (count, num_ops) int64."""
    return rng.integers(0, len(OPERATIONS), size=(count, num_ops)), 2 * rng.integers(0, 2, size=(count, num_ops)) - 1


def apply_operations(images: Array, operations: Array, signs: Array, magnitude: float) -> Array:
    """Apply given operations to each image, one after the other.

    Args:
        images: (B, 3, H, W) uint8.
        operations, signs: (B, N), from `draw_operations`.
        magnitude: see `rand_augment`.

    Returns:
        (B, 3, H, W) uint8.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("rand_augment needs Pillow: pip install 'npswin[train]'") from error
    result = np.empty_like(images)
    for index, pixels in enumerate(images):
        image = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
        for operation, sign in zip(operations[index], signs[index], strict=True):
            apply, has_two_directions = OPERATIONS[operation]
            image = apply(image, magnitude / 10 * (int(sign) if has_two_directions else 1))
        result[index] = np.asarray(image).transpose(2, 0, 1)
    return result


def identity(image: "Image", strength: float) -> "Image":
    """The image unchanged."""
    return image


def auto_contrast(image: "Image", strength: float) -> "Image":
    """Each colour stretched to 0..255."""
    from PIL import ImageOps

    return ImageOps.autocontrast(image)


def equalize(image: "Image", strength: float) -> "Image":
    """Each colour's histogram flattened."""
    from PIL import ImageOps

    return ImageOps.equalize(image)


def posterize(image: "Image", strength: float) -> "Image":
    """The lowest bits of each colour dropped, up to 4 of 8."""
    from PIL import ImageOps

    return ImageOps.posterize(image, 8 - round(4 * strength))


def solarize(image: "Image", strength: float) -> "Image":
    """Values above a threshold inverted; the threshold falls from 256 to 0."""
    from PIL import ImageOps

    return ImageOps.solarize(image, round(256 * (1 - strength)))


def color(image: "Image", strength: float) -> "Image":
    """Saturation times 0.1 to 1.9."""
    from PIL import ImageEnhance

    return ImageEnhance.Color(image).enhance(1 + 0.9 * strength)


def contrast(image: "Image", strength: float) -> "Image":
    """Contrast times 0.1 to 1.9."""
    from PIL import ImageEnhance

    return ImageEnhance.Contrast(image).enhance(1 + 0.9 * strength)


def brightness(image: "Image", strength: float) -> "Image":
    """Brightness times 0.1 to 1.9."""
    from PIL import ImageEnhance

    return ImageEnhance.Brightness(image).enhance(1 + 0.9 * strength)


def sharpness(image: "Image", strength: float) -> "Image":
    """Sharpness times 0.1 (blurred) to 1.9."""
    from PIL import ImageEnhance

    return ImageEnhance.Sharpness(image).enhance(1 + 0.9 * strength)


def rotate(image: "Image", strength: float) -> "Image":
    """Rotated by up to 30 degrees around the centre."""
    from PIL.Image import Resampling

    return image.rotate(30 * strength, Resampling.BILINEAR, fillcolor=_GREY)


def shear_x(image: "Image", strength: float) -> "Image":
    """Rows moved sideways, by up to 0.3 pixels for each row down."""
    return _affine(image, (1, 0.3 * strength, 0, 0, 1, 0))


def shear_y(image: "Image", strength: float) -> "Image":
    """Columns moved up or down, by up to 0.3 pixels for each column to the right."""
    return _affine(image, (1, 0, 0, 0.3 * strength, 1, 0))


def translate_x(image: "Image", strength: float) -> "Image":
    """Moved sideways by up to 0.45 of the width."""
    return _affine(image, (1, 0, 0.45 * strength * image.width, 0, 1, 0))


def translate_y(image: "Image", strength: float) -> "Image":
    """Moved up or down by up to 0.45 of the height."""
    return _affine(image, (1, 0, 0, 0, 1, 0.45 * strength * image.height))


def _affine(image: "Image", matrix: tuple[float, ...]) -> "Image":
    """Each pixel (x, y) from (a x + b y + c, d x + e y + f); grey where that is outside the image."""
    from PIL.Image import Resampling, Transform

    return image.transform(image.size, Transform.AFFINE, matrix, Resampling.BILINEAR, fillcolor=_GREY)


# (operation, whether its strength has two directions)
OPERATIONS = (
    (identity, False),
    (auto_contrast, False),
    (equalize, False),
    (posterize, False),
    (solarize, False),
    (color, True),
    (contrast, True),
    (brightness, True),
    (sharpness, True),
    (rotate, True),
    (shear_x, True),
    (shear_y, True),
    (translate_x, True),
    (translate_y, True),
)
