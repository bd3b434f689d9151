"""Images and label images from files, by Pillow.

The pixels of an image are red, green and blue in 8 bits, whatever is in the file: grey is repeated, a palette is looked
up, CMYK and YCbCr are converted by Pillow, transparency is ignored, of 16 bits the upper 8 are taken, of several pages
or frames the first. For a model of one channel they are grey, to which colours are converted. An image that was taken
with a turned camera, as its EXIF orientation says, is turned upright.

The pixels of a label image are numbers, which none of that may change: a palette's indices, or grey. It is turned as
its own EXIF orientation says; without one it is of the upright image, as programs for annotation show it.
"""

from collections.abc import Callable
from functools import partial
from io import BytesIO
from os import PathLike
from typing import Any, TypeVar

import numpy as np

from npswin.data.errors import DataFileError
from npswin.data.formats.findings import InconsistentFileError
from npswin.data.sample_transforms import LARGEST_SIDE
from npswin.files import read_bytes, shortened, shown_path
from npswin.types import Array

T = TypeVar("T")

IMAGE_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # others run programs, or are drawings
LABEL_FORMATS = ("BMP", "PNG", "TIFF")  # without losses, and without a scale of their own
LARGEST_FILE = 2**28  # bytes
MOST_PIXELS = 2**26

# Pillow's names of the layouts that label images may have in the file, and by what it multiplies their numbers.
_LABEL_LAYOUTS = {
    **dict.fromkeys(("1", "P", "P;1", "P;2", "P;4", "L", "I;16", "I;16B", "I;16L", "I;16N"), 1),
    "L;2": 85,
    "L;4": 17,
}
_NUMBERS = "a number for each pixel, grey or of a palette, in 1 to 16 bits"
_ORIENTATION, _ON_ITS_SIDE = 0x0112, (5, 6, 7, 8)  # the tag in EXIF, and its values that turn by a right angle
_OTHER_KIND = "other kind of image"


def read_image(path: str | PathLike[str], channels: int = 3) -> Array:
    """Read an image: (c, H, W) uint8.

    Args:
        path: the file.
        channels: 3 for red, green and blue, 1 for grey.

    Raises:
        DataFileError: the file is missing, damaged, too large or no image.
        ImportError: Pillow is not installed.
    """
    return _read(path, partial(_colours, mode={1: "L", 3: "RGB"}[channels]))


def read_label_image(path: str | PathLike[str]) -> Array:
    """Read a label image, grey or with a palette, of 1 to 16 bits: (H, W) uint8 or uint16.

    Raises:
        DataFileError: the file is missing, damaged, too large or no image, or has colours, or is a JPEG, which
            changes numbers.
        ImportError: Pillow is not installed.
    """
    return _read(path, _labels)


def note_of_orientation(path: str | PathLike[str]) -> str:
    """What a message about the size of an image adds if its EXIF orientation exchanges width and height; else nothing.

    Raises:
        DataFileError, ImportError: as `read_image`.
    """
    is_on_its_side = _read(path, lambda image: image.getexif().get(_ORIENTATION) in _ON_ITS_SIDE)
    return "; the image is turned by its EXIF orientation" if is_on_its_side else ""


def too_large(height: int, width: int) -> str:
    """Why an image of so many pixels is refused: it cannot be resized, or takes too much memory; else an empty text."""
    if max(height, width) > LARGEST_SIDE:
        return f"has {width}×{height} pixels, expected sides of at most {LARGEST_SIDE}"
    if height * width > MOST_PIXELS:
        return f"has {width}×{height} pixels, expected at most {MOST_PIXELS}"
    return ""


def _read(path: str | PathLike[str], contents_of: Callable[[Any], T]) -> T:
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise ImportError("images are read by Pillow: pip install 'npswin[detect]'") from error
    content = read_bytes(path, DataFileError, LARGEST_FILE)
    try:
        with Image.open(BytesIO(content), formats=IMAGE_FORMATS) as image:
            width, height = image.size
            if reason := too_large(height, width):
                raise InconsistentFileError("too large", reason)
            image.verify()  # compares checksums, which decoding does not
        with Image.open(BytesIO(content), formats=IMAGE_FORMATS) as image:
            return contents_of(image)
    except InconsistentFileError as error:
        raise InconsistentFileError(error.kind, f"{shown_path(path)}: {error}") from error
    except UnidentifiedImageError as error:
        raise DataFileError(f"{shown_path(path)}: is not an image of the formats {', '.join(IMAGE_FORMATS)}") from error
    except Exception as error:  # each of Pillow's decoders raises classes of its own
        reason = shortened(str(error)) or type(error).__name__
        raise DataFileError(f"{shown_path(path)}: cannot be read by Pillow ({reason})") from error


def _colours(image: Any, mode: str) -> Array:
    """(c, H, W) uint8 of an image of Pillow's, in Pillow's mode RGB or L."""
    from PIL import Image, ImageOps

    has_16_bits = image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM"))
    if image.mode in ("I", "F") and not has_16_bits:
        raise InconsistentFileError(_OTHER_KIND, f"has Pillow's mode {image.mode}, expected 8 or 16 bits a channel")
    image = ImageOps.exif_transpose(image)
    if has_16_bits:
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    pixels = np.asarray(image.convert(mode))
    return np.ascontiguousarray(np.atleast_3d(pixels).transpose(2, 0, 1))


def _labels(image: Any) -> Array:
    """(H, W) uint8 or uint16 of an image of Pillow's."""
    from PIL import ImageOps

    if image.format not in LABEL_FORMATS:
        expected = f"one of {', '.join(LABEL_FORMATS)}, which keep labels as they are"
        raise InconsistentFileError(_OTHER_KIND, f"is a label image in the format {image.format}, expected {expected}")
    if image.mode in ("RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV"):
        text = f"has colours ({image.mode}); a label image has {_NUMBERS}"
        raise InconsistentFileError("label image with colours", text)
    layout = _layout(image)
    if layout not in _LABEL_LAYOUTS or image.mode not in ("1", "L", "P", "I", "I;16", "I;16B", "I;16L"):
        raise InconsistentFileError(_OTHER_KIND, f"is a label image in {layout}, expected {_NUMBERS}")
    numbers = np.asarray(ImageOps.exif_transpose(image))
    return numbers.astype(np.uint8 if numbers.dtype.itemsize == 1 else np.uint16) // _LABEL_LAYOUTS[layout]


def _layout(image: Any) -> str:
    """Pillow's name of the layout of pixels in the file."""
    arguments = image.tile[0][3]
    return str(arguments[0] if isinstance(arguments, tuple) else arguments)
