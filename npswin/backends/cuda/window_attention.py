"""`window_attention`."""

from typing import Any

from npswin.backends.cuda.fused.attention import fused_attention_backward, fused_attention_forward, is_fused
from npswin.backends.cuda.unfused_op import unfused_op
from npswin.devices import cupy
from npswin.ops.window_attention import AttentionSpec, AttentionWeights


def window_attention_forward(x: Any, *weights: Any, spec: AttentionSpec, **drop_masks: Any) -> tuple[Any, Any]:
    """See `npswin.ops.window_attention_forward`; with dropout or a very large window, it is not fused."""
    parameters = AttentionWeights(*weights)
    if not is_fused(x, parameters, spec, drop_masks):
        y, cache = unfused_op("window_attention_forward")(x, *weights, spec=spec, **drop_masks)
        return y, (False, cache)
    y, cache = fused_attention_forward(cupy().ascontiguousarray(x), parameters, spec, None, None)
    return y, (True, cache)


def window_attention_backward(dy: Any, cache: Any) -> tuple[Any, ...]:
    """See `npswin.ops.window_attention_backward`."""
    fused, cache = cache
    if not fused:
        return unfused_op("window_attention_backward")(dy, cache)
    return fused_attention_backward(cupy().ascontiguousarray(dy), cache)
