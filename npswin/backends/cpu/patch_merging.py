"""`patch_concat` and `patch_merging`: 2×2 groups of tokens side by side, their norm, and a linear map."""

from functools import lru_cache
from typing import Any

import numpy as np

from npswin.backends.cpu.fused.gathered_linear import GatheredLinearCall
from npswin.backends.cpu.tile.token_moves import gather_tokens, inverse_table
from npswin.ops import patch_merging as definition
from npswin.types import Array


@lru_cache(maxsize=64)
def _concat_tables(height: int, width: int) -> tuple[Array, Array]:
    """From the map (H·W) to its groups (⌈H/2⌉·⌈W/2⌉·4), and back."""
    numbers = np.arange(1, height * width + 1).reshape(1, height, width, 1)
    table = definition.patch_concat_forward(numbers)[0].reshape(-1) - 1
    return table, inverse_table(table, height * width)


def patch_concat_forward(x: Array) -> tuple[Array, Any]:
    """See `npswin.ops.patch_concat_forward`."""
    batch, height, width, channels = x.shape
    y = gather_tokens(x, _concat_tables(height, width)[0], height * width, channels)
    return y.reshape(batch, -(-height // 2), -(-width // 2), 4 * channels), (height, width)


def patch_concat_backward(dy: Array, cache: Any) -> Array:
    """See `npswin.ops.patch_concat_backward`."""
    table, inverse = _concat_tables(*cache)
    channels = dy.shape[-1] // 4
    return gather_tokens(dy, inverse, len(table), channels).reshape(-1, *cache, channels)


@lru_cache(maxsize=64)
def _group_offsets(height: int, width: int, channels: int) -> Array:
    """(tokens, 4): where each group's four tokens are in a map (H, W, C), or −1 in the padding."""
    rows, columns = -(-height // 2), -(-width // 2)
    within = np.array(definition.GROUP_ORDER)
    y = 2 * np.arange(rows)[:, None, None] + within[:, 0]
    x = 2 * np.arange(columns)[None, :, None] + within[:, 1]
    offsets = (y * width + x) * channels
    return np.where((y < height) & (x < width), offsets, -1).reshape(rows * columns, 4)


def _forward(
    x: Array, norm_weight: Array | None, norm_bias: Array | None, weight: Array, bias: Array | None, for_backward: bool
) -> tuple[Array, Any]:
    batch, height, width, channels = x.shape
    norm = None if norm_weight is None or norm_bias is None else (norm_weight, norm_bias)
    call = GatheredLinearCall(x, batch, _group_offsets(height, width, channels), weight, bias, norm)
    return call.forward(for_backward).reshape(batch, -(-height // 2), -(-width // 2), len(weight)), call


def patch_merging(
    x: Array, norm_weight: Array | None, norm_bias: Array | None, weight: Array, bias: Array | None = None
) -> Array:
    """The y of `npswin.ops.patch_merging_forward`, with nothing saved."""
    return _forward(x, norm_weight, norm_bias, weight, bias, for_backward=False)[0]


def patch_merging_forward(
    x: Array, norm_weight: Array | None, norm_bias: Array | None, weight: Array, bias: Array | None = None
) -> tuple[Array, Any]:
    """See `npswin.ops.patch_merging_forward`."""
    return _forward(x, norm_weight, norm_bias, weight, bias, for_backward=True)


def patch_merging_backward(dy: Array, cache: Any) -> tuple[Array, Array | None, Array | None, Array, Array | None]:
    """See `npswin.ops.patch_merging_backward`."""
    dx, dweight, dbias, dnorm_weight, dnorm_bias = cache.backward(dy)
    dnorm = (dnorm_weight, dnorm_bias) if cache.has_norm else (None, None)
    return dx, *dnorm, dweight, dbias
