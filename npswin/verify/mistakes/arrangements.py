"""Other places to which a port may bring an image's pixels."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from npswin.types import Array


@dataclass(frozen=True)
class Arrangement:
    """Pixels at other places.

    Attributes:
        words: what is done, or "".
        apply: (B, c, H, W) -> the same shape.
        mixes_channels: whether a number comes into another channel, so that it matters whether the channels are
            normalized before or after.
    """

    words: str
    apply: Callable[[Array], Array]
    mixes_channels: bool = False


def arrangements(shape: tuple[int, ...], moved: bool = True) -> Iterator[Arrangement]:
    """Arrangements of images of one shape, the unchanged one first.

    Args:
        shape: (B, c, H, W).
        moved: whether the images moved by a row or a column are among them.
    """
    channels, height, width = shape[1:]
    yield Arrangement("", lambda x: x)
    yield Arrangement("the image is upside down", lambda x: x[:, :, ::-1])
    yield Arrangement("the image is mirrored, left to right", lambda x: x[..., ::-1])
    yield Arrangement("the image is turned by 180 degrees", lambda x: x[:, :, ::-1, ::-1])
    yield Arrangement("the image's rows and columns are exchanged", lambda x: x.swapaxes(2, 3).reshape(x.shape))
    if height == width:
        yield Arrangement("the image is turned by 90 degrees to the left", lambda x: np.rot90(x, 1, (2, 3)))
        yield Arrangement("the image is turned by 90 degrees to the right", lambda x: np.rot90(x, -1, (2, 3)))
        yield Arrangement(
            "the image is mirrored along the other diagonal", lambda x: np.rot90(x, 2, (2, 3)).swapaxes(2, 3)
        )
    if channels > 1:
        yield Arrangement("the memory, channels first, is read as (H, W, channels)", read_as_channels_last, True)
        yield Arrangement("the memory, channels last, is read as (channels, H, W)", _read_as_channels_first, True)
    if moved:
        for rows, columns in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, -1), (1, -1), (-1, 1)):
            for how in ("wrap", "edge", "constant"):
                yield _moved(rows, columns, how)


def read_as_channels_last(x: Array) -> Array:
    """The memory of images (B, channels, H, W), read as (B, H, W, channels), in the axes of images."""
    return x.reshape(len(x), *x.shape[2:], x.shape[1]).transpose(0, 3, 1, 2)


def _read_as_channels_first(x: Array) -> Array:
    return x.transpose(0, 2, 3, 1).reshape(x.shape)


_EDGES = {"wrap": "cyclically", "edge": "and the edge is repeated", "constant": "and black is brought in"}


def _moved(rows: int, columns: int, how: str) -> Arrangement:
    def move(x: Array) -> Array:
        padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), mode=how)  # type: ignore[call-overload]
        return padded[:, :, 1 - rows : 1 - rows + x.shape[2], 1 - columns : 1 - columns + x.shape[3]]

    parts = [f"{'down' if rows > 0 else 'up'} by one"] * (rows != 0)
    parts += [f"{'right' if columns > 0 else 'left'} by one"] * (columns != 0)
    return Arrangement(f"the image is moved {' and '.join(parts)} {_EDGES[how]}", move)


def in_key_order(arrangement: Arrangement, found: Array) -> Array:
    """The array of which the arrangement, one that only exchanges numbers, is `found`."""
    positions = arrangement.apply(np.arange(found.size).reshape(found.shape))
    back = np.empty(found.size, found.dtype)
    back[positions.reshape(-1)] = found.reshape(-1)
    return back.reshape(found.shape)
