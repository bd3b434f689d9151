"""`window_partition` and `window_reverse`."""

from functools import lru_cache
from typing import Any

from npswin.backends.cpu.tile.token_moves import gather_tokens, inverse_table
from npswin.backends.cpu.tile.window_tokens import window_positions
from npswin.types import Array


@lru_cache(maxsize=64)
def _tables(height: int, width: int, window_size: int, shift_size: int) -> tuple[Array, Array]:
    """From the map (H·W) to its windows (nW·N), and back."""
    table = window_positions(height, width, window_size, shift_size).positions
    return table, inverse_table(table, height * width)


def _partition(x: Array, window_size: int, shift_size: int) -> Array:
    """(B, H, W, C) -> (B·nW, N, C)."""
    _, height, width, channels = x.shape
    table, _ = _tables(height, width, window_size, shift_size)
    return gather_tokens(x, table, height * width, channels).reshape(-1, window_size**2, channels)


def _reverse(windows: Array, size: tuple[int, int], window_size: int, shift_size: int) -> Array:
    """(B·nW, N, C) -> (B, H, W, C)."""
    table, inverse = _tables(*size, window_size, shift_size)
    return gather_tokens(windows, inverse, len(table), windows.shape[-1]).reshape(-1, *size, windows.shape[-1])


def window_partition_forward(x: Array, window_size: int, shift_size: int) -> tuple[Array, Any]:
    """See `npswin.ops.window_partition_forward`."""
    return _partition(x, window_size, shift_size), (x.shape[1:3], window_size, shift_size)


def window_partition_backward(dwindows: Array, cache: Any) -> Array:
    """See `npswin.ops.window_partition_backward`."""
    return _reverse(dwindows, *cache)


def window_reverse_forward(
    windows: Array, size: tuple[int, int], window_size: int, shift_size: int
) -> tuple[Array, Any]:
    """See `npswin.ops.window_reverse_forward`."""
    return _reverse(windows, size, window_size, shift_size), (window_size, shift_size)


def window_reverse_backward(dx: Array, cache: Any) -> Array:
    """See `npswin.ops.window_reverse_backward`."""
    return _partition(dx, *cache)
