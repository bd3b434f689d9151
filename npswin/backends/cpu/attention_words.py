"""The words `attention_branch` and `window_attention`; `attention_kernels.py` says how they are computed."""

from typing import Any

from npswin.backends.cpu.attention_kernels import AttentionCall
from npswin.backends.cpu.composed import composed
from npswin.types import Array


def attention_branch(
    x: Array,
    norm_weight: Array,
    norm_bias: Array,
    qkv_weight: Array,
    qkv_bias: Array | None,
    proj_weight: Array,
    proj_bias: Array | None,
    bias_table: Array | None,
    *,
    num_heads: int,
    window_size: int,
    shift: int,
    mask_value: float = -100.0,
) -> Array:
    """The y of `npswin.ops.attention_branch_forward`, with nothing kept."""
    weights, geometry = (qkv_weight, qkv_bias, proj_weight, proj_bias), (num_heads, window_size, shift, mask_value)
    return AttentionCall(x, (norm_weight, norm_bias), weights, bias_table, *geometry).forward()


def attention_branch_forward(
    x: Array,
    norm_weight: Array,
    norm_bias: Array,
    qkv_weight: Array,
    qkv_bias: Array | None,
    proj_weight: Array,
    proj_bias: Array | None,
    bias_table: Array | None,
    *,
    num_heads: int,
    window_size: int,
    shift: int,
    mask_value: float = -100.0,
    path_scale: Array | None = None,
    **drop_masks: Any,
) -> tuple[Array, Any]:
    """See `npswin.ops.attention_branch_forward`; with dropout, it is not fused."""
    norm = norm_weight, norm_bias
    weights = qkv_weight, qkv_bias, proj_weight, proj_bias
    if any(mask is not None for mask in drop_masks.values()):
        return composed("attention_branch_forward")(
            *(x, *norm, *weights, bias_table),
            num_heads=num_heads,
            window_size=window_size,
            shift=shift,
            mask_value=mask_value,
            path_scale=path_scale,
            **drop_masks,
        )
    geometry = num_heads, window_size, shift, mask_value
    call = AttentionCall(x, norm, weights, bias_table, *geometry, path_scale=path_scale, keep=True)
    return call.forward(), call


def attention_branch_backward(dy: Array, cache: Any) -> tuple[Array | None, ...]:
    """See `npswin.ops.attention_branch_backward`."""
    return cache.backward(dy) if isinstance(cache, AttentionCall) else composed("attention_branch_backward")(dy, cache)


def window_attention(
    x: Array,
    qkv_weight: Array,
    qkv_bias: Array | None,
    proj_weight: Array,
    proj_bias: Array | None,
    bias_table: Array | None,
    *,
    num_heads: int,
    window_size: int,
    shift: int,
    mask_value: float = -100.0,
) -> Array:
    """The y of `npswin.ops.window_attention_forward`, with nothing kept."""
    weights, geometry = (qkv_weight, qkv_bias, proj_weight, proj_bias), (num_heads, window_size, shift, mask_value)
    return AttentionCall(x, None, weights, bias_table, *geometry).forward()


def window_attention_forward(
    x: Array,
    qkv_weight: Array,
    qkv_bias: Array | None,
    proj_weight: Array,
    proj_bias: Array | None,
    bias_table: Array | None,
    *,
    num_heads: int,
    window_size: int,
    shift: int,
    mask_value: float = -100.0,
    **drop_masks: Any,
) -> tuple[Array, Any]:
    """See `npswin.ops.window_attention_forward`; with dropout, it is not fused."""
    weights = qkv_weight, qkv_bias, proj_weight, proj_bias
    if any(mask is not None for mask in drop_masks.values()):
        return composed("window_attention_forward")(
            *(x, *weights, bias_table),
            num_heads=num_heads,
            window_size=window_size,
            shift=shift,
            mask_value=mask_value,
            **drop_masks,
        )
    call = AttentionCall(x, None, weights, bias_table, num_heads, window_size, shift, mask_value, keep=True)
    return call.forward(), call


def window_attention_backward(dy: Array, cache: Any) -> tuple[Any, ...]:
    """See `npswin.ops.window_attention_backward`."""
    if not isinstance(cache, AttentionCall):
        return composed("window_attention_backward")(dy, cache)
    dx, _, _, *gradients = cache.backward(dy)
    return dx, *gradients
