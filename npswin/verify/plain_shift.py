"""Shifted window attention without the cyclic shift: more windows, the smaller ones padded (section 3.2, Figure 4).

Moving the window grid by M//2 leaves smaller windows at the edges: ⌈H/M⌉ + 1 rows of windows rather than ⌈H/M⌉. The
naive computation pads these to M×M and masks the padding. The efficient computation, which the model uses, rolls the
map instead, so that the small windows share full ones, and masks pairs that are not neighbours. The results are equal,
so the tests compare the model with this module.
"""

from typing import Any

import numpy as np

from npswin.ops.attention import attention_backward, attention_forward
from npswin.ops.linear import linear_backward, linear_forward
from npswin.ops.position_bias import position_bias_backward, position_bias_forward
from npswin.ops.windows import (
    count_windows,
    padded_size,
    window_partition_backward,
    window_partition_forward,
    window_reverse_backward,
    window_reverse_forward,
)
from npswin.types import Array


def plain_window_attention_forward(
    x: Array,
    qkv_weight: Array,
    qkv_bias: Array | None,
    proj_weight: Array,
    proj_bias: Array,
    bias_table: Array | None,
    *,
    num_heads: int,
    window_size: int,
    shift_size: int,
) -> tuple[Array, Any]:
    """The result of `npswin.ops.window_attention_forward`, computed with shifted windows.

    Args:
        x: (B, H, W, C).
        qkv_weight, qkv_bias, proj_weight, proj_bias, bias_table, num_heads, window_size, shift_size: as there.

    Returns:
        y (B, H, W, C) and the cache for the backward pass.
    """
    height, width = x.shape[1:3]
    padded_height, padded_width = padded_size(height, width, window_size)
    # The first row of windows begins M − shift_size above the map; the frame around the map has no tokens.
    before, after = (window_size - shift_size, shift_size) if shift_size else (0, 0)
    framed_size = padded_height + before + after, padded_width + before + after
    framed = np.zeros((len(x), *framed_size, x.shape[-1]), x.dtype)
    framed[:, before : before + height, before : before + width] = x
    is_token = np.zeros((1, *framed_size, 1), bool)
    is_token[:, before : before + padded_height, before : before + padded_width] = True

    key_is_token = window_partition_forward(is_token, window_size, 0)[0][..., 0]
    mask = np.where(key_is_token[:, None, :], 0.0, -np.inf).astype(x.dtype) + np.zeros((window_size**2, 1), x.dtype)
    bias, bias_cache = (None, None) if bias_table is None else position_bias_forward(bias_table, window_size)

    windows, partition_cache = window_partition_forward(framed, window_size, 0)
    qkv, qkv_cache = linear_forward(windows, qkv_weight, qkv_bias)
    attended, attention_cache = attention_forward(qkv, bias, mask, num_heads)
    projected, proj_cache = linear_forward(attended, proj_weight, proj_bias)
    y, reverse_cache = window_reverse_forward(projected, framed_size, window_size, 0)
    in_frame = (slice(None), slice(before, before + height), slice(before, before + width))
    cache = (in_frame, framed.shape, bias_cache, partition_cache, qkv_cache, attention_cache, proj_cache, reverse_cache)
    return y[in_frame], cache


def plain_window_attention_backward(
    dy: Array, cache: Any
) -> tuple[Array, Array, Array | None, Array, Array | None, Array | None]:
    """The backward pass; see `npswin.ops.window_attention_backward`.

    Args:
        dy: (B, H, W, C).

    Returns:
        dx (B, H, W, C), dqkv_weight, dqkv_bias, dproj_weight, dproj_bias, dbias_table; None where there is none.
    """
    in_frame, framed_shape, bias_cache, partition_cache, qkv_cache, attention_cache, proj_cache, reverse_cache = cache
    dframed = np.zeros(framed_shape, dy.dtype)
    dframed[in_frame] = dy
    dprojected = window_reverse_backward(dframed, reverse_cache)
    dattended, dproj_weight, dproj_bias = linear_backward(dprojected, proj_cache)
    dqkv, dbias = attention_backward(dattended, attention_cache)
    dwindows, dqkv_weight, dqkv_bias = linear_backward(dqkv, qkv_cache)
    dx = window_partition_backward(dwindows, partition_cache)[in_frame]
    dbias_table = None if dbias is None else position_bias_backward(dbias, bias_cache)
    return dx, dqkv_weight, dqkv_bias, dproj_weight, dproj_bias, dbias_table


def count_plain_windows(height: int, width: int, window_size: int, shift_size: int) -> int:
    """How many windows the naive computation has; `npswin.ops.windows.count_windows` is for the efficient one."""
    extra = window_size if shift_size else 0
    padded_height, padded_width = padded_size(height, width, window_size)
    return count_windows(padded_height + extra, padded_width + extra, window_size)


def window_table(img_size: int = 224, patch_size: int = 4, window_size: int = 7, stages: int = 4) -> str:
    """The number of windows of a shifted block in both computations, stage by stage, as a Markdown table."""
    lines = ["| stage | map | plain windows | efficient windows | ratio |", "| --- | --- | --- | --- | --- |"]
    side = -(-img_size // patch_size)
    for stage in range(1, stages + 1):
        shift_size = window_size // 2 if side > window_size else 0
        plain, efficient = (
            count_plain_windows(side, side, window_size, shift_size),
            count_windows(side, side, window_size),
        )
        lines.append(f"| {stage} | {side}×{side} | {plain} | {efficient} | {plain / efficient:.2f} |")
        side = -(-side // 2)
    return "\n".join(lines)
