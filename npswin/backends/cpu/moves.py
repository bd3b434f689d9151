"""Words that only move tokens, and move each token's channels as one run: the cut into windows, and 2×2 groups.

Each is a table that says for every run of the result which run of the same image it is, or −1 for one in the padding.
The way back has the inverse table. What is moved are bytes, so that one kernel serves every dtype.
"""

from functools import lru_cache
from typing import Any

import numpy as np

from npswin import ops
from npswin.backends.cpu.arrays import flat
from npswin.backends.cpu.jit import kernel, view
from npswin.backends.cpu.memory import empty
from npswin.backends.cpu.threads import run_parallel
from npswin.backends.cpu.windows import window_table
from npswin.types import Array


@kernel
def _gather(
    first: int, stop: int, part: int, scratch: Array, x: Array, table: Array, image_bytes: int, run: int, y: Array
) -> None:
    for place in range(first, stop):
        image, row = divmod(place, table.size)
        out = view(y, place * run, run)
        if table[row] < 0:
            out[:] = 0
        else:
            source = view(x, image * image_bytes + table[row] * run, run)
            for i in range(run):
                out[i] = source[i]


def _gathered(x: Array, table: Array, tokens: int, channels: int) -> Array:
    """y[b][i] = x[b][table[i]], or zeros where the table says −1.

    Args:
        x: (B, tokens, channels), in whatever shape.
        table: (T,).
        tokens: runs of an image.
        channels: numbers of a run.

    Returns:
        (B, T, channels).
    """
    images = flat(x).reshape(-1, tokens, channels)
    y = empty((len(images), len(table), channels), x.dtype)
    run = channels * x.itemsize
    run_parallel(
        *(_gather, len(images) * len(table), 0, np.uint8),
        *(images.reshape(-1).view(np.uint8), table, tokens * run, run, y.reshape(-1).view(np.uint8)),
    )
    return y


def _inverse(table: Array, tokens: int) -> Array:
    """Where each of the tokens has gone."""
    places = np.empty(tokens, table.dtype)
    moved = np.flatnonzero(table >= 0)
    places[table[moved]] = moved
    return places


@lru_cache(maxsize=64)
def _window_tables(height: int, width: int, window_size: int, shift: int) -> tuple[Array, Array]:
    """From the map (H·W) to its windows (nW·N), and back."""
    table = window_table(height, width, window_size, shift)[0]
    return table, _inverse(table, height * width)


@lru_cache(maxsize=64)
def _group_tables(height: int, width: int) -> tuple[Array, Array]:
    """From the map (H·W) to its groups (⌈H/2⌉·⌈W/2⌉·4), and back."""
    numbers = np.arange(1, height * width + 1).reshape(1, height, width, 1)
    table = ops.patch_concat_forward(numbers)[0].reshape(-1) - 1
    return table, _inverse(table, height * width)


def _cut(x: Array, window_size: int, shift: int) -> Array:
    """(B, H, W, C) -> (B·nW, N, C)."""
    _, height, width, channels = x.shape
    table, _ = _window_tables(height, width, window_size, shift)
    return _gathered(x, table, height * width, channels).reshape(-1, window_size**2, channels)


def _assemble(windows: Array, size: tuple[int, int], window_size: int, shift: int) -> Array:
    """(B·nW, N, C) -> (B, H, W, C)."""
    table, inverse = _window_tables(*size, window_size, shift)
    return _gathered(windows, inverse, len(table), windows.shape[-1]).reshape(-1, *size, windows.shape[-1])


def window_partition_forward(x: Array, window_size: int, shift: int) -> tuple[Array, Any]:
    """See `npswin.ops.window_partition_forward`."""
    return _cut(x, window_size, shift), (x.shape[1:3], window_size, shift)


def window_partition_backward(dwindows: Array, cache: Any) -> Array:
    """See `npswin.ops.window_partition_backward`."""
    return _assemble(dwindows, *cache)


def window_reverse_forward(windows: Array, size: tuple[int, int], window_size: int, shift: int) -> tuple[Array, Any]:
    """See `npswin.ops.window_reverse_forward`."""
    return _assemble(windows, size, window_size, shift), (window_size, shift)


def window_reverse_backward(dx: Array, cache: Any) -> Array:
    """See `npswin.ops.window_reverse_backward`."""
    return _cut(dx, *cache)


def patch_concat_forward(x: Array) -> tuple[Array, Any]:
    """See `npswin.ops.patch_concat_forward`."""
    batch, height, width, channels = x.shape
    y = _gathered(x, _group_tables(height, width)[0], height * width, channels)
    return y.reshape(batch, -(-height // 2), -(-width // 2), 4 * channels), (height, width)


def patch_concat_backward(dy: Array, cache: Any) -> Array:
    """See `npswin.ops.patch_concat_backward`."""
    table, inverse = _group_tables(*cache)
    channels = dy.shape[-1] // 4
    return _gathered(dy, inverse, len(table), channels).reshape(-1, *cache, channels)
