"""The words `mlp_branch` and `mlp`; `mlp_kernels.py` says how they are computed."""

from typing import Any

from npswin.backends.cpu.composed import composed
from npswin.backends.cpu.mlp_kernels import MlpCall
from npswin.types import Array


def mlp_branch(
    x: Array,
    norm_weight: Array,
    norm_bias: Array,
    fc1_weight: Array,
    fc1_bias: Array | None,
    fc2_weight: Array,
    fc2_bias: Array | None,
) -> Array:
    """The y of `npswin.ops.mlp_branch_forward`, with nothing kept."""
    return MlpCall(x, (norm_weight, norm_bias), (fc1_weight, fc1_bias, fc2_weight, fc2_bias)).forward()


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
    """See `npswin.ops.mlp_branch_forward`; with dropout, it is not fused."""
    weights = fc1_weight, fc1_bias, fc2_weight, fc2_bias
    if any(mask is not None for mask in drop_masks.values()):
        return composed("mlp_branch_forward")(x, norm_weight, norm_bias, *weights, path_scale=path_scale, **drop_masks)
    call = MlpCall(x, (norm_weight, norm_bias), weights, path_scale, keep=True)
    return call.forward(), call


def mlp_branch_backward(dy: Array, cache: Any) -> tuple[Array | None, ...]:
    """See `npswin.ops.mlp_branch_backward`."""
    return cache.backward(dy) if isinstance(cache, MlpCall) else composed("mlp_branch_backward")(dy, cache)


def mlp(x: Array, fc1_weight: Array, fc1_bias: Array | None, fc2_weight: Array, fc2_bias: Array | None) -> Array:
    """The y of `npswin.ops.mlp_forward`, with nothing kept."""
    return MlpCall(x, None, (fc1_weight, fc1_bias, fc2_weight, fc2_bias)).forward()


def mlp_forward(
    x: Array,
    fc1_weight: Array,
    fc1_bias: Array | None,
    fc2_weight: Array,
    fc2_bias: Array | None,
    **drop_masks: Any,
) -> tuple[Array, Any]:
    """See `npswin.ops.mlp_forward`; with dropout, it is not fused."""
    weights = fc1_weight, fc1_bias, fc2_weight, fc2_bias
    if any(mask is not None for mask in drop_masks.values()):
        return composed("mlp_forward")(x, *weights, **drop_masks)
    call = MlpCall(x, None, weights, keep=True)
    return call.forward(), call


def mlp_backward(dy: Array, cache: Any) -> tuple[Any, ...]:
    """See `npswin.ops.mlp_backward`."""
    if not isinstance(cache, MlpCall):
        return composed("mlp_backward")(dy, cache)
    dx, _, _, *gradients = cache.backward(dy)
    return dx, *gradients
