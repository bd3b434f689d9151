"""What goes into an answer key where nothing else is said: a small model, weights that all count, a picture."""

from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np

from npswin.models import SwinTransformer
from npswin.types import Array

# Every case that ports get wrong, in under a megabyte: maps that windows do not divide, an odd window, a shift, more
# heads than one, a stage that is a single window.
MINIATURE: dict[str, Any] = {
    "img_size": (12, 10),
    "patch_size": 2,
    "num_classes": 5,
    "embed_dim": 6,
    "depths": (2, 2),
    "num_heads": (2, 3),
    "window_size": 3,
    "mlp_ratio": 2.0,
    "drop_path_rate": 0.0,
}


def redraw(model: SwinTransformer, seed: int) -> None:
    """Give a model weights of which each counts.

    In a fresh model biases are 0, gains 1 and bias tables nearly 0: a port that forgot them would agree. All become
    numbers that float32 holds exactly, so that a port in float32 has the very same weights.
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
    """Images of noise (B, c, H, W), uint8: no two places alike, so that nothing can be exchanged unseen."""
    return np.random.default_rng([seed, 3]).integers(0, 256, (batch, channels, *size), dtype=np.uint8)


def draw_labels(seed: int, batch: int, num_classes: int) -> Array:
    """A class for each image."""
    return np.random.default_rng([seed, 4]).integers(0, num_classes, batch)


def read_images(paths: Sequence[str | PathLike[str]], size: tuple[int, int]) -> Array:
    """Image files as pixels (B, 3, H, W), uint8, resized bicubically.

    Raises:
        RuntimeError: Pillow is not installed.
        ValueError: a file that is no image.
        OSError: a file that cannot be opened.
    """
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise RuntimeError(
            "images are read by Pillow: pip install pillow (or leave --image out: random pixels will do)"
        ) from error
    images = []
    for path in paths:
        try:
            with Image.open(path) as image:
                resized = image.convert("RGB").resize((size[1], size[0]), Image.Resampling.BICUBIC)
        except (UnidentifiedImageError, Image.DecompressionBombError) as error:
            raise ValueError(f"{path}: no image that Pillow reads ({error})") from error
        except OSError as error:
            raise OSError(error.errno, error.strerror or str(error), str(path)) from error
        images.append(np.asarray(resized).transpose(2, 0, 1))
    return np.stack(images)
