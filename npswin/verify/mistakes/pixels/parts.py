"""Some images or channels that were prepared in another way than the others: each is explained by itself."""

from collections.abc import Iterator, Sequence

import numpy as np

from npswin.types import Array
from npswin.verify.mistakes.normalization import COLOURS, places_in_words
from npswin.verify.mistakes.pixels.prepared import Family, Function, Images, Prepared

MOST = 64  # images
RIGHT = "as in the key"


def of_images(images: Images, families: Sequence[Family]) -> Iterator[Prepared]:
    """Images that were prepared in different ways."""
    yield from _of_parts(images, families, 0)


def of_channels(images: Images, families: Sequence[Family]) -> Iterator[Prepared]:
    """Channels that were prepared in different ways."""
    yield from _of_parts(images, families, 1)


def _of_parts(images: Images, families: Sequence[Family], axis: int) -> Iterator[Prepared]:
    count = images.pixels.shape[axis]
    if not 1 < count <= MOST:
        return
    parts = []
    for place in range(count):
        one, every = slice(place, place + 1), slice(None)
        prepared = _explained(images.part(*((one, every) if axis == 0 else (every, one))), families)
        if prepared is None:
            return
        parts.append(prepared)
    words = [part.words for part in parts]
    if len(set(words)) > max(2, count // 2) and RIGHT not in words:
        return
    names = COLOURS if axis and count == len(COLOURS) else tuple(map(str, range(count)))
    text = places_in_words("image" if axis == 0 else "channel", names, words)
    fitted = {part.words: part.fitted for part in parts}
    terms = max(part.terms for part in parts)
    yield Prepared(text, _together([part.function for part in parts], axis), sum(fitted.values()), terms)


def _explained(images: Images, families: Sequence[Family]) -> Prepared | None:
    if images.agrees(images.normalized):
        return Prepared(RIGHT, images.right.apply)
    for family in families:
        for prepared in family(images):
            if images.explains(prepared.function(images.pixels), prepared.terms):
                return prepared
    return None


def _together(functions: list[Function], axis: int) -> Function:
    def prepare(pixels: Array) -> Array:
        pixels = np.asarray(pixels, np.float64)
        parts = np.split(pixels, len(functions), axis)
        return np.concatenate([function(part) for function, part in zip(functions, parts, strict=True)], axis)

    return prepare
