"""Images that were moved by some rows and columns, with something else at the edges."""

from collections.abc import Iterator

import numpy as np

from npswin.types import Array
from npswin.verify.mistakes.pixels.prepared import MARGIN, Function, Images, Prepared

MODES = {
    "black comes in": "constant",
    "the edge is repeated": "edge",
    "the image is mirrored at the edge": "reflect",
    "the image is mirrored at the edge, with its edge": "symmetric",
    "it is continued from the other side": "wrap",
}
LARGEST = 0.75  # of a side by which images are moved


def moved(images: Images) -> Iterator[Prepared]:
    """The images moved by so many rows and columns, found from the peak of their correlation."""
    rows, columns = _offset(images)
    height, width = images.pixels.shape[2:]
    if (rows, columns) == (0, 0) or abs(rows) > LARGEST * height or abs(columns) > LARGEST * width:
        return
    inner = tuple(
        (slice(max(step, 0), size + min(step, 0)), slice(max(-step, 0), size - max(step, 0)))
        for step, size in ((rows, height), (columns, width))
    )
    found = images.found[:, :, inner[0][0], inner[1][0]]
    if np.abs(images.normalized[:, :, inner[0][1], inner[1][1]] - found).max() > MARGIN * images.tolerance:
        return
    parts = [f"{abs(rows)} row{'s' * (abs(rows) > 1)} {'down' if rows > 0 else 'up'}"] * (rows != 0)
    parts += [f"{abs(columns)} column{'s' * (abs(columns) > 1)} to the {'right' if columns > 0 else 'left'}"] * (
        columns != 0
    )
    words = f"the image is moved {' and '.join(parts)}"
    for how, mode in MODES.items():
        move = _moving(rows, columns, mode)
        if images.explains(images.before(move)(images.pixels)):
            yield Prepared(f"{words}; {how}", images.before(move))
            return
    move = _moving(rows, columns, "constant")
    if images.explains(move(images.normalized)):
        yield Prepared(
            f"{words} after its normalization, and zeros come in", lambda pixels: move(images.right.apply(pixels))
        )


def _offset(images: Images) -> tuple[int, int]:
    """By how many rows and columns the images agree best."""
    centred = [array - array.mean((2, 3), keepdims=True) for array in (images.normalized, images.found)]
    spectra = [np.fft.rfft2(array) for array in centred]
    cross = (spectra[0].conj() * spectra[1]).sum((0, 1))
    size = images.pixels.shape[2:]
    correlation = np.fft.irfft2(cross / np.maximum(np.abs(cross), 1e-300), s=size)
    row, column = np.unravel_index(int(correlation.argmax()), size)
    moves = [int(at) - (length if at > length // 2 else 0) for at, length in zip((row, column), size, strict=True)]
    return moves[0], moves[1]


def _moving(rows: int, columns: int, mode: str) -> Function:
    def move(x: Array) -> Array:
        widths = ((0, 0), (0, 0), (max(rows, 0), max(-rows, 0)), (max(columns, 0), max(-columns, 0)))
        padded = np.pad(x, widths, mode=mode)  # type: ignore[call-overload]
        top, left = max(-rows, 0), max(-columns, 0)
        return padded[:, :, top : top + x.shape[2], left : left + x.shape[3]]

    return move
