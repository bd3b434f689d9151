"""`attention_branch` and `mlp_branch`: norm, branch and residual connection; the kernels are in `fused/`."""

from typing import Any

from npswin.backends.cpu.fused.attention import AttentionCall
from npswin.backends.cpu.fused.mlp import MlpCall
from npswin.backends.cpu.unfused_op import unfused_op
from npswin.ops.window_attention import AttentionSpec, AttentionWeights
from npswin.types import Array


def attention_branch(x: Array, norm_weight: Array, norm_bias: Array, *weights: Any, spec: AttentionSpec) -> Array:
    """The y of `npswin.ops.attention_branch_forward`, with nothing saved."""
    return AttentionCall(x, (norm_weight, norm_bias), AttentionWeights(*weights), spec).forward()


def attention_branch_forward(
    x: Array,
    norm_weight: Array,
    norm_bias: Array,
    *weights: Any,
    spec: AttentionSpec,
    path_scale: Array | None = None,
    **drop_masks: Array | None,
) -> tuple[Array, Any]:
    """See `npswin.ops.attention_branch_forward`; with dropout, it is not fused."""
    if any(mask is not None for mask in drop_masks.values()):
        definition = unfused_op("attention_branch_forward")
        return definition(x, norm_weight, norm_bias, *weights, spec=spec, path_scale=path_scale, **drop_masks)
    norm = norm_weight, norm_bias
    call = AttentionCall(x, norm, AttentionWeights(*weights), spec, path_scale, for_backward=True)
    return call.forward(), call


def attention_branch_backward(dy: Array, cache: Any) -> tuple[Array | None, ...]:
    """See `npswin.ops.attention_branch_backward`."""
    return (
        cache.backward(dy) if isinstance(cache, AttentionCall) else unfused_op("attention_branch_backward")(dy, cache)
    )


def mlp_branch(x: Array, norm_weight: Array, norm_bias: Array, *weights: Any) -> Array:
    """The y of `npswin.ops.mlp_branch_forward`, with nothing saved."""
    return MlpCall(x, (norm_weight, norm_bias), weights).forward()


def mlp_branch_forward(
    x: Array,
    norm_weight: Array,
    norm_bias: Array,
    *weights: Any,
    path_scale: Array | None = None,
    **drop_masks: Array | None,
) -> tuple[Array, Any]:
    """See `npswin.ops.mlp_branch_forward`; with dropout, it is not fused."""
    if any(mask is not None for mask in drop_masks.values()):
        definition = unfused_op("mlp_branch_forward")
        return definition(x, norm_weight, norm_bias, *weights, path_scale=path_scale, **drop_masks)
    call = MlpCall(x, (norm_weight, norm_bias), weights, path_scale, for_backward=True)
    return call.forward(), call


def mlp_branch_backward(dy: Array, cache: Any) -> tuple[Array | None, ...]:
    """See `npswin.ops.mlp_branch_backward`."""
    return cache.backward(dy) if isinstance(cache, MlpCall) else unfused_op("mlp_branch_backward")(dy, cache)
