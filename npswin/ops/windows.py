"""Windows of a map: padding, the cyclic shift, the cut, and the mask of a shifted map (section 3.2).

A map (B, H, W, C) is padded with zeros at the right and at the bottom to whole windows, (B, Hp, Wp, C), rolled by
(−shift_size, −shift_size), and cut into nW = (Hp/M)(Wp/M) windows of N = M² tokens, row by row. All of that is one
linear map whose matrix has at most a single 1 in each row and column, so its transpose is the way back: the derivative
of cutting is joining (gradients of the padding are dropped), the derivative of joining is cutting.
"""

from functools import lru_cache
from typing import Any

import numpy as np

from npswin.ops.arguments import LARGEST_SIDE, Axes, integer, pair
from npswin.ops.description import op
from npswin.types import Array


def padded_size(height: int, width: int, window_size: int) -> tuple[int, int]:
    """(Hp, Wp): height and width rounded up to multiples of the window's side."""
    return -(-height // window_size) * window_size, -(-width // window_size) * window_size


def count_windows(height: int, width: int, window_size: int) -> int:
    """nW, the number of windows that a map of this size is cut into, padding included."""
    padded_height, padded_width = padded_size(height, width, window_size)
    return (padded_height // window_size) * (padded_width // window_size)


def pad_to_windows(x: Array, window_size: int) -> Array:
    """(B, H, W, C) -> (B, Hp, Wp, C): zeros at the right and at the bottom."""
    height, width = x.shape[1:3]
    padded_height, padded_width = padded_size(height, width, window_size)
    if (padded_height, padded_width) == (height, width):
        return x
    return np.pad(x, ((0, 0), (0, padded_height - height), (0, padded_width - width), (0, 0)))


def crop_padding(x: Array, size: tuple[int, int]) -> Array:
    """(B, Hp, Wp, C) -> (B, H, W, C): the transpose of `pad_to_windows`."""
    height, width = size
    return x[:, :height, :width]


def cyclic_shift(x: Array, shift_size: int) -> Array:
    """The map rolled up and left by so many rows and columns; the transpose is the shift by as many the other way."""
    return np.roll(x, (-shift_size, -shift_size), axis=(1, 2)) if shift_size else x


def cut_windows(x: Array, window_size: int) -> Array:
    """(B, Hp, Wp, C) -> (B·nW, N, C), window after window, row by row."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // window_size, window_size, width // window_size, window_size, channels)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(-1, window_size * window_size, channels)


def join_windows(windows: Array, padded: tuple[int, int], window_size: int) -> Array:
    """(B·nW, N, C) -> (B, Hp, Wp, C): the transpose of `cut_windows`."""
    height, width = padded
    channels = windows.shape[-1]
    x = windows.reshape(-1, height // window_size, width // window_size, window_size, window_size, channels)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(-1, height, width, channels)


def _partition(x: Array, window_size: int, shift_size: int) -> Array:
    """(B, H, W, C) -> (B·nW, N, C): pad, shift, cut."""
    return cut_windows(cyclic_shift(pad_to_windows(x, window_size), shift_size), window_size)


def _reverse(windows: Array, size: tuple[int, int], window_size: int, shift_size: int) -> Array:
    """(B·nW, N, C) -> (B, H, W, C): join, shift back, crop. The transpose of `_partition`."""
    padded = join_windows(windows, padded_size(*size, window_size), window_size)
    return crop_padding(cyclic_shift(padded, -shift_size), size)


def check_shift(window_size: int, shift_size: int, name: str = "shift_size") -> None:
    """Raise a ValueError for a cyclic shift by a whole window or more."""
    if shift_size >= window_size:
        raise ValueError(f"{name}: got {shift_size}, expected 0 to {window_size - 1} with window_size={window_size}")


@op(
    x=Axes("B H W C", any_dtype=True),
    window_size=integer("M", at_least=1, at_most=LARGEST_SIDE),
    shift_size=integer("shift", at_least=0),
    also=lambda window_size, shift_size, **_: check_shift(window_size, shift_size),
)
def window_partition_forward(x: Array, window_size: int, shift_size: int) -> tuple[Array, Any]:
    """Pad the map to whole windows, shift it cyclically, cut it.

    Args:
        x: (B, H, W, C).
        window_size: M, the window's side.
        shift_size: rows and columns by which the map is rolled up and left; 0 in W-MSA, M//2 in SW-MSA.

    Returns:
        windows (B·nW, N, C) and the cache for the backward pass.

    Test: tests/ops/test_gradients.py::test_window_partition
    """
    return _partition(x, window_size, shift_size), (x.shape[1:3], window_size, shift_size)


def window_partition_backward(dwindows: Array, cache: Any) -> Array:
    """dx (B, H, W, C) from dwindows (B·nW, N, C): every token gets its own gradient back, padding's is dropped."""
    size, window_size, shift_size = cache
    return _reverse(dwindows, size, window_size, shift_size)


@op(
    windows=Axes("B*nW N C", any_dtype=True),
    size=pair("H", "W"),
    window_size=integer("M", at_least=1, at_most=LARGEST_SIDE),
    shift_size=integer("shift", at_least=0),
    derived={"N": lambda M: M * M, "nW": lambda H, W, M: count_windows(H, W, M)},
    also=lambda window_size, shift_size, **_: check_shift(window_size, shift_size),
)
def window_reverse_forward(
    windows: Array, size: tuple[int, int], window_size: int, shift_size: int
) -> tuple[Array, Any]:
    """Join the windows, undo the shift, crop the padding.

    Args:
        windows: (B·nW, N, C).
        size: (H, W) of the map before padding.
        window_size: M.
        shift_size: as it was in `window_partition_forward`.

    Returns:
        x (B, H, W, C) and the cache for the backward pass.

    Test: tests/ops/test_gradients.py::test_window_reverse
    """
    return _reverse(windows, size, window_size, shift_size), (window_size, shift_size)


def window_reverse_backward(dx: Array, cache: Any) -> Array:
    """dwindows (B·nW, N, C) from dx (B, H, W, C); the tokens that were cropped get zeros."""
    window_size, shift_size = cache
    return _partition(dx, window_size, shift_size)


def shift_regions(height: int, width: int, window_size: int, shift_size: int) -> Array:
    """From which part of the map each token of each window of the shifted map comes (Figure 4).

    After the roll the last row and the last column of windows hold up to four regions that are no neighbours on the
    map. The regions are numbered by (row band, column band), where the bands of the *rolled, padded* map are
    [0, Hp − M), [Hp − M, Hp − shift_size), [Hp − shift_size, Hp).

    Args:
        height, width: H and W of the map before padding.
        window_size: M.
        shift_size: rows and columns of the cyclic shift, 0 < shift_size < M.

    Returns:
        (nW, N) of integers: two tokens of a window may attend to each other when their numbers agree.
    """
    padded_height, padded_width = padded_size(height, width, window_size)

    def band(length: int) -> Array:
        position = np.arange(length)
        return (position >= length - window_size).astype(int) + (position >= length - shift_size)

    region = 3 * band(padded_height)[:, None] + band(padded_width)[None, :]
    return cut_windows(region[None, :, :, None], window_size)[..., 0]


def window_tokens(height: int, width: int, window_size: int, shift_size: int) -> Array:
    """Which token of the map each token of each window is.

    Args:
        height, width: H and W of the map before padding.
        window_size: M.
        shift_size: rows and columns of the cyclic shift.

    Returns:
        (nW, N) of integers: row · W + column, and −1 for padding.
    """
    numbers = 1 + np.arange(height * width).reshape(1, height, width, 1)
    return _partition(numbers, window_size, shift_size)[..., 0] - 1


@lru_cache(maxsize=64)
def shift_mask(height: int, width: int, window_size: int, shift_size: int, mask_value: float, dtype: str) -> Array:
    """What is added to the scores so that tokens of different `shift_regions` do not attend to each other.

    Args:
        height, width: H and W of the map before padding.
        window_size: M.
        shift_size: rows and columns of the cyclic shift, 0 < shift_size < M.
        mask_value: what masked pairs get; −100 in the official code, −inf in other readings.
        dtype: name of the result's dtype.

    Returns:
        (nW, N, N), read-only: 0 or mask_value for each window, query and key.
    """
    region = shift_regions(height, width, window_size, shift_size)
    different = region[:, :, None] != region[:, None, :]
    mask = np.where(different, mask_value, 0.0).astype(dtype)
    mask.flags.writeable = False
    return mask
