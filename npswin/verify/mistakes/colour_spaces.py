"""Colour spaces as matrices of a pixel's red, green and blue, from 0 to 255."""

from collections.abc import Iterator

import numpy as np

from npswin.types import Array
from npswin.verify.mistakes.normalization import COLOURS, GRAY, weights_in_words

WHITE = 255.0
BT709 = (0.2126, 0.7152, 0.0722)
MIDDLE = 128.0
XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.072175), (0.0193339, 0.119192, 0.9503041))
YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))
ORDERS = {
    "": (0, 1, 2),
    ", the last two exchanged": (0, 2, 1),
    ", in reversed order": (2, 1, 0),
}
Map = tuple[Array, Array]  # matrix (3, 3) and offset (3) for pixels from 0 to 255
READ_REVERSED = "; they are read as blue, green, red"
NEAR = 2e-3  # of fitted weights of a colour from known ones, and of offsets as a share of white


def _luma_chroma(weights: tuple[float, ...], limited: bool = False) -> Map:
    """Y, Cb, Cr by the weights of red, green and blue in Y; from 16 to 235 and 240 if limited."""
    y = np.array(weights)
    blue, red = (np.eye(3)[2] - y) / (2 - 2 * y[2]), (np.eye(3)[0] - y) / (2 - 2 * y[0])
    if limited:
        return np.stack([y * 219, blue * 224, red * 224]) / WHITE, np.array([16.0, MIDDLE, MIDDLE])
    return np.stack([y, blue, red]), np.array([0.0, MIDDLE, MIDDLE])


def _yuv() -> Array:
    y = np.array(GRAY)
    return np.stack([y, 0.492 * (np.eye(3)[2] - y), 0.877 * (np.eye(3)[0] - y)])


def _inverse(matrix: Array, offset: Array) -> Map:
    back = np.linalg.inv(matrix)
    return back, -back @ offset


def colour_maps() -> Iterator[tuple[str, Map]]:
    """Matrices and offsets by name."""
    spaces: dict[str, Map] = {
        "Y, Cb, Cr (BT.601, 0 ... 255)": _luma_chroma(GRAY),
        "Y, Cb, Cr (BT.601, limited range)": _luma_chroma(GRAY, True),
        "Y, Cb, Cr (BT.709, 0 ... 255)": _luma_chroma(BT709),
        "Y, Cb, Cr (BT.709, limited range)": _luma_chroma(BT709, True),
        "Y, U, V": (_yuv(), np.zeros(3)),
        "Y, U, V, with 128 added to U and V": (_yuv(), np.array([0.0, MIDDLE, MIDDLE])),
        "Y, Cb, Cr (BT.601) without the 128": (_luma_chroma(GRAY)[0], np.zeros(3)),
        "Y, I, Q": (np.array(YIQ), np.zeros(3)),
        "X, Y, Z": (np.array(XYZ), np.zeros(3)),
    }
    for name, (matrix, offset) in spaces.items():
        for order_words, order in ORDERS.items():
            rows = list(order)
            yield f"the channels are {name}{order_words}", (matrix[rows], offset[rows])
            back, shift = _inverse(matrix[rows], offset[rows])
            yield f"red, green, blue are taken for {name}{order_words} and converted", (back, shift)
    for weights in (GRAY, BT709, (1 / 3,) * 3):
        row = " + ".join(f"{weight:.4g} {name}" for weight, name in zip(weights, ("red", "green", "blue"), strict=True))
        yield f"the image is gray, {row}", (np.tile(weights, (3, 1)), np.zeros(3))


def recognized_colours(matrix: Array, offset: Array) -> tuple[str, bool]:
    """A fitted map of the colours in words, and whether it is known.

    Args:
        matrix: (3, 3).
        offset: (3).
    """
    for words, (known, shift) in colour_maps():
        for reversed_words, order in (("", slice(None)), (READ_REVERSED, slice(None, None, -1))):
            if max(np.abs(known[:, order] - matrix).max(), np.abs(shift - offset).max() / WHITE) <= NEAR:
                return words + reversed_words, True
    rows = [
        f"{name} is {weights_in_words(row)}{f' {constant:+.4g}' if abs(constant) > NEAR * WHITE else ''}"
        for name, row, constant in zip(COLOURS, matrix, offset, strict=True)
    ]
    return f"the channels are mixed: {', '.join(rows)}", False
