"""`window_attention`; `fused/attention.py` holds the kernels."""

from typing import Any

from npswin.backends.cpu.fused.attention import AttentionCall
from npswin.backends.cpu.unfused_op import unfused_op
from npswin.ops.window_attention import AttentionSpec, AttentionWeights
from npswin.types import Array


def window_attention(x: Array, *weights: Any, spec: AttentionSpec) -> Array:
    """The y of `npswin.ops.window_attention_forward`, with nothing saved."""
    return AttentionCall(x, None, AttentionWeights(*weights), spec).forward()


def window_attention_forward(
    x: Array, *weights: Any, spec: AttentionSpec, **drop_masks: Array | None
) -> tuple[Array, Any]:
    """See `npswin.ops.window_attention_forward`; with dropout, it is not fused."""
    if any(mask is not None for mask in drop_masks.values()):
        return unfused_op("window_attention_forward")(x, *weights, spec=spec, **drop_masks)
    call = AttentionCall(x, None, AttentionWeights(*weights), spec, for_backward=True)
    return call.forward(), call


def window_attention_backward(dy: Array, cache: Any) -> tuple[Any, ...]:
    """See `npswin.ops.window_attention_backward`."""
    if not isinstance(cache, AttentionCall):
        return unfused_op("window_attention_backward")(dy, cache)
    dx, _, _, *gradients = cache.backward(dy)
    return dx, *gradients
