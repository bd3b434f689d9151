"""The defaults of `npswin golden`: a small model, weights, random images, labels."""

import warnings
from collections.abc import Sequence
from io import BytesIO
from os import PathLike
from typing import Any

import numpy as np

from npswin.data import DataFileError
from npswin.files import read_bytes, shortened, shown_path
from npswin.models import SwinTransformer
from npswin.types import Array

LARGEST_IMAGE_FILE = 256 * 2**20  # bytes
MOST_PIXELS = 100_000_000  # of an image, which takes 4 bytes for each, twice while it is converted
IMAGE_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # others run programs, or are drawings
IMAGE_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr")  # Pillow cuts longer numbers off at 255

# Two small models, which together have every case that ports get wrong, each in a key of less than a megabyte. Odd
# windows: maps of 5×7, 3×4 and 2×2 tokens, so that padding and merging fill up both axes, a row has more windows than a
# column, the second stage is as high as a window but wider, and the third is a single smaller window.
MINIATURE: dict[str, Any] = {
    "img_size": (10, 14),
    "patch_size": 2,
    "num_classes": 5,
    "embed_dim": 4,
    "depths": (2, 2, 1),
    "num_heads": (1, 2, 4),
    "window_size": 3,
    "mlp_ratio": 1.25,
    "drop_path_rate": 0.0,
}
# Even windows: maps of 5×3 and 3×2 tokens; the image's height is no multiple of the patch, two blocks of the first
# stage are shifted, and the second stage is as wide as a window but higher.
EVEN_MINIATURE: dict[str, Any] = {
    **MINIATURE,
    "img_size": (9, 6),
    "embed_dim": 6,
    "depths": (4, 2),
    "num_heads": (2, 3),
    "window_size": 2,
    "mlp_ratio": 2.0,
}


def randomize_weights(model: SwinTransformer, seed: int) -> None:
    """Give a model random weights, each of which changes the result noticeably.

    In a new model biases are 0, gains 1 and bias tables nearly 0: a port without them would agree. The new weights are
    exact in float32, so that a port in float32 has the same ones.
    """
    rng = np.random.default_rng([seed, 2])
    for param in model.params.values():
        if param.ndim < 2:
            value = param + 0.5 * rng.standard_normal(param.shape)  # a gain stays near 1, a bias near 0
        else:
            fan_in = param[0].size if param.ndim != 3 else 4
            value = rng.standard_normal(param.shape) / np.sqrt(fan_in)
        param[...] = value.astype(np.float32)


def draw_pixels(seed: int, batch: int, size: tuple[int, int], channels: int = 3) -> Array:
    """Images of noise (B, c, H, W), uint8. All positions differ, so that an exchange of any two changes the result."""
    return np.random.default_rng([seed, 3]).integers(0, 256, (batch, channels, *size), dtype=np.uint8)


def draw_labels(seed: int, batch: int, num_classes: int) -> Array:
    """A random class for each image, (B,)."""
    return np.random.default_rng([seed, 4]).integers(0, num_classes, batch)


def read_images(paths: Sequence[str | PathLike[str]], size: tuple[int, int]) -> Array:
    """Read image files as pixels (B, 3, H, W), uint8, resized bicubically to (H, W).

    Raises:
        RuntimeError: Pillow is not installed.
        DataFileError: a file is missing, is not an image of 8 bits a channel, is damaged or too large.
    """
    try:
        import PIL.Image  # noqa: F401
    except ImportError as error:
        raise RuntimeError(
            "images are read by Pillow: pip install pillow (without --image, pixels are random)"
        ) from error
    return np.stack([_read_image(path, size) for path in paths])


def _read_image(path: str | PathLike[str], size: tuple[int, int]) -> Array:
    """Pixels (3, H, W), uint8."""
    from PIL import Image

    content = read_bytes(path, DataFileError, LARGEST_IMAGE_FILE)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of metadata, which is not used; the number of pixels is checked below
            with Image.open(BytesIO(content), formats=IMAGE_FORMATS) as image:
                width, height, mode, deep = *image.size, image.mode, _has_longer_numbers(image)
                if width * height <= MOST_PIXELS and mode in IMAGE_MODES and not deep:
                    image.verify()  # compares checksums, which decoding does not
                    with Image.open(BytesIO(content), formats=IMAGE_FORMATS) as again:
                        resized = again.convert("RGB").resize((size[1], size[0]), Image.Resampling.BICUBIC)
                        return np.asarray(resized).transpose(2, 0, 1)
    except Exception as error:  # each of Pillow's decoders raises classes of its own
        raise DataFileError(
            f"{shown_path(path)}: not an image that Pillow reads ({shortened(str(error)) or type(error).__name__})"
        ) from error
    if mode not in IMAGE_MODES:
        raise DataFileError(
            f"{shown_path(path)}: has Pillow's mode {mode}, expected 8 bits a channel: {', '.join(IMAGE_MODES)}"
        )
    if deep:
        raise DataFileError(
            f"{shown_path(path)}: has more than 8 bits a channel, expected 8, since pixels are from 0 to 255; convert "
            "it first, so that the port and the key read the same"
        )
    raise DataFileError(f"{shown_path(path)}: has {width}×{height} pixels, expected at most {MOST_PIXELS}")


def _has_longer_numbers(image: Any) -> bool:
    """Whether an image of Pillow's has more than 8 bits a channel in its file; Pillow would cut them off.

    Pillow's mode does not tell. The arguments of its decoder do: the layout in the file, such as RGB;16B, and of a PPM
    file the largest number. BGR;16 is BMP's 16 bits for all three channels.
    """
    for codec, _, _, arguments in image.tile:
        layout, *more = arguments if isinstance(arguments, tuple) else (arguments,)
        if codec == "ppm" and int(more[0]) > 255:
            return True
        if ";16" in str(layout) and layout != "BGR;16":
            return True
    return False
