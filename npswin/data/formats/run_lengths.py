"""Masks of objects as run lengths, the coding of COCO's annotations.

The pixels of a mask are taken column by column. Their runs are counted, zeros first: "counts" is a list of integers, or
the same list as text. There each number but the first three is the difference to the one two places before, and is
written in groups of five bits, the lowest first, as the characters "0" to "o": 48 + the group + 32 where more groups
follow; the highest bit of the last group is the sign.

pycocotools encodes masks and draws polygons. It trusts what it is given, and reads and writes beyond its arrays where
run lengths are wrong, so what comes from files is decoded and checked here.
"""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from npswin.checks import shown
from npswin.data.formats.findings import EntryError
from npswin.types import Array

RunLengths = dict[str, Any]  # pycocotools' form: {"size": [H, W], "counts": bytes}

_LONGEST_NUMBER = 7  # groups of five bits


def mask_codes() -> ModuleType:
    """pycocotools' functions for masks.

    Raises:
        ImportError: it is not installed; the message gives the pip command.
    """
    try:
        from pycocotools import mask
    except ImportError as error:
        raise ImportError("masks are read and written by pycocotools: pip install 'npswin[detect]'") from error
    return mask


def encode_masks(masks: Array) -> list[RunLengths]:
    """Run lengths of masks (n, H, W) bool."""
    return mask_codes().encode(np.asfortranarray(masks.transpose(1, 2, 0), dtype=np.uint8))


def decode_masks(codes: Sequence[RunLengths], height: int, width: int) -> Array:
    """Masks (n, H, W) bool of run lengths, each of an image of this size."""
    columns = np.empty((len(codes), width * height), dtype=bool)
    for pixels, code in zip(columns, codes, strict=True):
        counts = decode_counts(code["counts"].decode("ascii"))
        pixels[...] = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    return np.ascontiguousarray(columns.reshape(len(codes), width, height).transpose(0, 2, 1))


def encode_segmentation(segmentation: Any, height: int, width: int) -> RunLengths:
    """Run lengths of an annotation's segmentation: a list of polygons, or run lengths as a list or as text.

    Args:
        segmentation: the value in the JSON.
        height, width: of the image.

    Raises:
        EntryError: it is none of these, does not fit the image, or has no pixel.
        ImportError: pycocotools is not installed.
    """
    if isinstance(segmentation, list):
        polygons = [_checked_polygon(polygon, height, width) for polygon in segmentation]
        code = mask_codes().merge(mask_codes().frPyObjects(polygons, height, width))
    else:
        code = encode_run_lengths(segmentation, height, width)
    if mask_codes().area(code) == 0:
        raise EntryError("empty mask", "the segmentation has no pixel")
    return code


def _checked_polygon(polygon: Any, height: int, width: int) -> list[float]:
    """The coordinates x, y of a polygon's corners, or an EntryError."""
    if not isinstance(polygon, list) or not set(map(type, polygon)) <= {int, float} or any(x != x for x in polygon):
        raise EntryError("wrong polygon", "a polygon is no list of numbers")
    if len(polygon) % 2 or len(polygon) < 6:
        raise EntryError(
            "wrong polygon", f"a polygon has {len(polygon)} numbers, expected x and y of at least 3 corners"
        )
    for numbers, length in ((polygon[::2], width), (polygon[1::2], height)):
        # Corners may be a little outside; far outside, pycocotools would need much memory.
        low, high = min(numbers), max(numbers)
        if low < -length or high > 2 * length:
            text = f"a polygon reaches from {shown(low)} to {shown(high)} in an image of {width}×{height} pixels"
            raise EntryError("wrong polygon", text)
    return polygon


def encode_run_lengths(segmentation: Any, height: int, width: int) -> RunLengths:
    """Run lengths in pycocotools' form, of run lengths as a list or as text; else as `encode_segmentation`."""
    if not isinstance(segmentation, dict) or not {"size", "counts"} <= segmentation.keys():
        raise EntryError(
            "wrong run lengths", "the segmentation is neither polygons nor run lengths with size and counts"
        )
    size, counts = segmentation["size"], segmentation["counts"]
    if not isinstance(size, list) or size != [height, width]:
        text = f"run lengths for the size {shown(size)}, expected [{height}, {width}] as the image"
        raise EntryError("wrong run lengths", text)
    if isinstance(counts, str):
        _check_counts(decode_counts(counts), height * width)
        return {"size": [height, width], "counts": counts.encode("ascii")}
    if not isinstance(counts, list) or not all(type(count) is int for count in counts):
        raise EntryError("wrong run lengths", "counts are neither text nor a list of integers")
    _check_counts(counts, height * width)
    return mask_codes().frPyObjects({"size": [height, width], "counts": counts}, height, width)


def _check_counts(counts: Sequence[int], pixels: int) -> None:
    smallest, total = min(counts, default=0), sum(counts)
    if smallest < 0 or total != pixels:
        text = f"a run length is {smallest}" if smallest < 0 else f"run lengths have the sum {total}"
        raise EntryError("wrong run lengths", f"{text}, expected {pixels} pixels")


def decode_counts(text: str) -> list[int]:
    """The run lengths in a text.

    Raises:
        EntryError: it is no such text.
    """
    groups = np.frombuffer(text.encode("utf-8", "replace"), np.uint8).astype(np.int64) - 48
    if groups.size == 0 or groups.min() < 0 or groups.max() > 63 or groups[-1] & 32:
        raise EntryError("wrong run lengths", "counts are no coded text")
    is_last = (groups & 32) == 0
    last = np.flatnonzero(is_last)
    first = np.concatenate(([0], last[:-1] + 1))
    lengths = last - first + 1
    if lengths.max() > _LONGEST_NUMBER:
        raise EntryError("wrong run lengths", "counts have a number of too many digits")
    place = np.arange(groups.size) - np.repeat(first, lengths)
    numbers = np.add.reduceat((groups & 31) << (5 * place), first)
    numbers -= (groups[last] >> 4 & 1) << (5 * lengths)
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    return numbers.tolist()
