"""`mlp`; `fused/mlp.py` holds the kernels."""

from typing import Any

from npswin.backends.cpu.fused.mlp import MlpCall
from npswin.backends.cpu.unfused_op import unfused_op
from npswin.types import Array


def mlp(x: Array, *weights: Any) -> Array:
    """The y of `npswin.ops.mlp_forward`, with nothing saved."""
    return MlpCall(x, None, weights).forward()


def mlp_forward(x: Array, *weights: Any, **drop_masks: Array | None) -> tuple[Array, Any]:
    """See `npswin.ops.mlp_forward`; with dropout, it is not fused."""
    if any(mask is not None for mask in drop_masks.values()):
        return unfused_op("mlp_forward")(x, *weights, **drop_masks)
    call = MlpCall(x, None, weights, for_backward=True)
    return call.forward(), call


def mlp_backward(dy: Array, cache: Any) -> tuple[Any, ...]:
    """See `npswin.ops.mlp_backward`."""
    if not isinstance(cache, MlpCall):
        return unfused_op("mlp_backward")(dy, cache)
    dx, _, _, *gradients = cache.backward(dy)
    return dx, *gradients
