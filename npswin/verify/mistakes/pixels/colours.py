"""Other colour spaces, also with their numbers rounded; hue, saturation and value."""

from collections.abc import Callable, Iterator

import numpy as np

from npswin.types import Array
from npswin.verify.mistakes.colour_spaces import READ_REVERSED, colour_maps
from npswin.verify.mistakes.pixels.prepared import WHITE, Images, Prepared, are_integers

ROUNDINGS: dict[str, Callable[[Array], Array]] = {
    "": lambda x: x,
    ", cut to integers": lambda x: np.clip(np.trunc(x), 0, WHITE),
    ", limited to 0 ... 255": lambda x: np.clip(x, 0, WHITE),
}


def other_colours(images: Images) -> Iterator[Prepared]:
    """A known colour space, before the key's normalization."""
    if images.pixels.shape[1] != 3:
        return
    some = images.pixels[:, :, ::3, ::3], images.undone[:, :, ::3, ::3]
    whole = are_integers(images.undone, images.pixel_tolerance)
    slack = 1.0 if whole else images.pixel_tolerance
    functions = {words: _linear(*one) for words, one in colour_maps()} | dict(NONLINEAR)
    for words, function in functions.items():
        for reversed_words, order in (
            ("", slice(None)),
            (READ_REVERSED, slice(None, None, -1)),
        ):
            made = function(some[0][:, order])
            if np.abs(np.clip(made, *_ends(some[1])) - some[1]).max() > slack:
                continue
            roundings = ROUNDINGS | {", rounded to integers": lambda x: np.clip(images.rounded(x), 0, WHITE)}
            for how, rounding in roundings.items():

                def convert(pixels: Array, function=function, rounding=rounding, order=order) -> Array:  # type: ignore[no-untyped-def]
                    return np.asarray(rounding(function(pixels[:, order])))

                if images.explains(images.before(convert)(images.pixels)):
                    yield Prepared(words + how + reversed_words, images.before(convert), 0, 9)
                    return


def _ends(values: Array) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def _linear(matrix: Array, offset: Array) -> Callable[[Array], Array]:
    return lambda x: np.einsum("ij,bjhw->bihw", matrix, x) + offset[:, None, None]


def _hue(x: Array, most: Array, spread: Array) -> Array:
    """From 0 to 6."""
    red, green, blue = np.moveaxis(x, 1, 0)
    safe = np.where(spread == 0, 1, spread)
    hue = np.where(
        most == red,
        ((green - blue) / safe) % 6,
        np.where(most == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    return np.where(spread == 0, 0, hue)


def _hsv(hue_range: float) -> Callable[[Array], Array]:
    """Hue up to `hue_range`, saturation and value from 0 to 255."""

    def convert(x: Array) -> Array:
        most, spread = x.max(1), np.ptp(x, 1)
        saturation = WHITE * spread / np.where(most == 0, 1, most)
        return np.stack([_hue(x, most, spread) * hue_range / 6, saturation, most], axis=1)

    return convert


def _hls(hue_range: float) -> Callable[[Array], Array]:
    """Hue, lightness and saturation."""

    def convert(x: Array) -> Array:
        most, spread, total = x.max(1), np.ptp(x, 1), x.max(1) + x.min(1)
        rest = np.where(total <= WHITE, total, 2 * WHITE - total)
        saturation = WHITE * spread / np.where(rest == 0, 1, rest)
        return np.stack([_hue(x, most, spread) * hue_range / 6, total / 2, saturation], axis=1)

    return convert


NONLINEAR: dict[str, Callable[[Array], Array]] = {
    "the channels are hue, saturation, value": _hsv(WHITE),
    "the channels are hue (0 ... 180, as OpenCV has it), saturation, value": _hsv(180),
    "the channels are hue (0 ... 360), saturation, value": _hsv(360),
    "the channels are hue, lightness, saturation": _hls(WHITE),
    "the channels are hue (0 ... 180, as OpenCV has it), lightness, saturation": _hls(180),
}
