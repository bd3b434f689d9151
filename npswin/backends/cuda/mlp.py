"""`mlp`."""

from typing import Any

from npswin.backends.cuda.fused.mlp import fused_mlp_backward, fused_mlp_forward
from npswin.backends.cuda.unfused_op import unfused_op
from npswin.devices import cupy


def mlp_forward(x: Any, *weights: Any, **drop_masks: Any) -> tuple[Any, Any]:
    """See `npswin.ops.mlp_forward`; with dropout, it is not fused."""
    if any(mask is not None for mask in drop_masks.values()):
        y, cache = unfused_op("mlp_forward")(x, *weights, **drop_masks)
        return y, (False, cache)
    y, cache = fused_mlp_forward(cupy().ascontiguousarray(x), weights, None, None)
    return y, (True, cache)


def mlp_backward(dy: Any, cache: Any) -> tuple[Any, ...]:
    """See `npswin.ops.mlp_backward`."""
    is_fused, cache = cache
    if not is_fused:
        return unfused_op("mlp_backward")(dy, cache)
    return fused_mlp_backward(cupy().ascontiguousarray(dy), cache)
