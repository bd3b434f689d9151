"""The two residual branches of a Swin block (section 3.2, equation 3).

ẑ = (S)W-MSA(LN(z)) + z
z' = MLP(LN(ẑ)) + ẑ
"""

from typing import Any

from npswin.ops import mlp, window_attention
from npswin.ops.description import op
from npswin.ops.layer_norm import layer_norm_backward, layer_norm_forward
from npswin.ops.mlp import mlp_backward, mlp_forward
from npswin.ops.residual import residual_backward, residual_forward
from npswin.ops.window_attention import AttentionSpec, window_attention_backward, window_attention_forward
from npswin.types import Array


@op(x="images H W C", norm_weight="C", norm_bias="C", path_scale="images", **window_attention.DESCRIBED)
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
    spec: AttentionSpec,
    path_scale: Array | None = None,
    **drop_masks: Array | None,
) -> tuple[Array, Any]:
    """y = x + s · WindowAttention(LN(x)).

    Args:
        x: (B, H, W, C).
        norm_weight, norm_bias: (C,) each.
        qkv_weight, qkv_bias, proj_weight, proj_bias, bias_table: as in `window_attention_forward`.
        path_scale: (B,) drop path's factor for each image, or None.
        spec: heads, windows, shift and mask.
        **drop_masks: the dropout masks of `window_attention_forward`.

    Returns:
        y (B, H, W, C) and the cache for the backward pass.

    Test: tests/ops/test_gradients.py::test_attention_branch
    """
    normed, norm_cache = layer_norm_forward(x, norm_weight, norm_bias)
    branch, attention_cache = window_attention_forward(
        normed, qkv_weight, qkv_bias, proj_weight, proj_bias, bias_table, spec=spec, **drop_masks
    )
    y, residual_cache = residual_forward(x, branch, path_scale)
    return y, (norm_cache, attention_cache, residual_cache)


def attention_branch_backward(dy: Array, cache: Any) -> tuple[Array | None, ...]:
    """x reaches y twice, through the shortcut and through the branch: its derivative has two terms.

    Args:
        dy: (B, H, W, C).

    Returns:
        dx (B, H, W, C), dnorm_weight, dnorm_bias, dqkv_weight, dqkv_bias, dproj_weight, dproj_bias, dbias_table.
    """
    norm_cache, attention_cache, residual_cache = cache
    dshortcut, dbranch = residual_backward(dy, residual_cache)
    dnormed, *dattention = window_attention_backward(dbranch, attention_cache)
    dx, dnorm_weight, dnorm_bias = layer_norm_backward(dnormed, norm_cache)
    dx += dshortcut
    return dx, dnorm_weight, dnorm_bias, *dattention


@op(
    x="B ... C",
    norm_weight="C",
    norm_bias="C",
    path_scale="B",
    **{**mlp.DESCRIBED, "hidden_drop_mask": "B ... hidden", "output_drop_mask": "B ... C"},
)
def mlp_branch_forward(
    x: Array,
    norm_weight: Array,
    norm_bias: Array,
    fc1_weight: Array,
    fc1_bias: Array | None,
    fc2_weight: Array,
    fc2_bias: Array | None,
    *,
    path_scale: Array | None = None,
    **drop_masks: Any,
) -> tuple[Array, Any]:
    """y = x + s · MLP(LN(x)).

    Args:
        x: (B, H, W, C).
        norm_weight, norm_bias: (C,) each.
        fc1_weight, fc1_bias, fc2_weight, fc2_bias: as in `mlp_forward`.
        path_scale: (B,) drop path's factor for each image, or None.
        **drop_masks: the keyword arguments of `mlp_forward`.

    Returns:
        y (B, H, W, C) and the cache for the backward pass.

    Test: tests/ops/test_gradients.py::test_mlp_branch
    """
    normed, norm_cache = layer_norm_forward(x, norm_weight, norm_bias)
    branch, mlp_cache = mlp_forward(normed, fc1_weight, fc1_bias, fc2_weight, fc2_bias, **drop_masks)
    y, residual_cache = residual_forward(x, branch, path_scale)
    return y, (norm_cache, mlp_cache, residual_cache)


def mlp_branch_backward(dy: Array, cache: Any) -> tuple[Array | None, ...]:
    """As in the attention branch, the shortcut and the branch both lead back to x.

    Args:
        dy: (B, H, W, C).

    Returns:
        dx (B, H, W, C), dnorm_weight, dnorm_bias, dfc1_weight, dfc1_bias, dfc2_weight, dfc2_bias.
    """
    norm_cache, mlp_cache, residual_cache = cache
    dshortcut, dbranch = residual_backward(dy, residual_cache)
    dnormed, *dmlp = mlp_backward(dbranch, mlp_cache)
    dx, dnorm_weight, dnorm_bias = layer_norm_backward(dnormed, norm_cache)
    dx += dshortcut
    return dx, dnorm_weight, dnorm_bias, *dmlp
