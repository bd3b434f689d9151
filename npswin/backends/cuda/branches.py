"""`attention_branch` and `mlp_branch`: norm, branch and residual connection; the parts are in `fused/`."""

from typing import Any

from npswin.backends.cuda.fused.attention import fused_attention_backward, fused_attention_forward, is_fused
from npswin.backends.cuda.fused.mlp import fused_mlp_backward, fused_mlp_forward
from npswin.backends.cuda.layer_norm import layer_norm_backward, layer_norm_forward
from npswin.backends.cuda.residual import scale_per_image
from npswin.backends.cuda.unfused_op import unfused_op
from npswin.devices import cupy
from npswin.ops.window_attention import AttentionSpec, AttentionWeights


def attention_branch_forward(
    x: Any,
    norm_weight: Any,
    norm_bias: Any,
    *weights: Any,
    spec: AttentionSpec,
    path_scale: Any = None,
    **drop_masks: Any,
) -> tuple[Any, Any]:
    """See `npswin.ops.attention_branch_forward`; with dropout or a very large window, it is not fused."""
    parameters = AttentionWeights(*weights)
    if not is_fused(x, parameters, spec, drop_masks):
        definition = unfused_op("attention_branch_forward")
        y, cache = definition(x, norm_weight, norm_bias, *weights, spec=spec, path_scale=path_scale, **drop_masks)
        return y, (None, cache, None)
    x = cupy().ascontiguousarray(x)
    normed, norm_cache = layer_norm_forward(x, norm_weight, norm_bias)
    y, cache = fused_attention_forward(normed, parameters, spec, x, path_scale)
    return y, (norm_cache, cache, path_scale)


def attention_branch_backward(dy: Any, cache: Any) -> tuple[Any, ...]:
    """See `npswin.ops.attention_branch_backward`."""
    norm_cache, cache, path_scale = cache
    if norm_cache is None:
        return unfused_op("attention_branch_backward")(dy, cache)
    dy = cupy().ascontiguousarray(dy)
    dnormed, *dattention = fused_attention_backward(scale_per_image(dy, path_scale), cache)
    return *layer_norm_backward(dnormed, norm_cache, shortcut=dy), *dattention


def mlp_branch_forward(
    x: Any, norm_weight: Any, norm_bias: Any, *weights: Any, path_scale: Any = None, **drop_masks: Any
) -> tuple[Any, Any]:
    """See `npswin.ops.mlp_branch_forward`; with dropout, it is not fused."""
    if any(mask is not None for mask in drop_masks.values()):
        definition = unfused_op("mlp_branch_forward")
        y, cache = definition(x, norm_weight, norm_bias, *weights, path_scale=path_scale, **drop_masks)
        return y, (None, cache, None)
    x = cupy().ascontiguousarray(x)
    normed, norm_cache = layer_norm_forward(x, norm_weight, norm_bias)
    y, cache = fused_mlp_forward(normed, weights, x, path_scale)
    return y, (norm_cache, cache, path_scale)


def mlp_branch_backward(dy: Any, cache: Any) -> tuple[Any, ...]:
    """See `npswin.ops.mlp_branch_backward`."""
    norm_cache, cache, path_scale = cache
    if norm_cache is None:
        return unfused_op("mlp_branch_backward")(dy, cache)
    dy = cupy().ascontiguousarray(dy)
    dnormed, *dmlp = fused_mlp_backward(scale_per_image(dy, path_scale), cache)
    return *layer_norm_backward(dnormed, norm_cache, shortcut=dy), *dmlp
