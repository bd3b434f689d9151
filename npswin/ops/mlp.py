"""The feed-forward network of a block: linear, GELU, linear (section 3.1)."""

from typing import Any

from npswin.ops.description import op
from npswin.ops.dropout import dropout_backward, dropout_forward
from npswin.ops.gelu import gelu_backward, gelu_forward
from npswin.ops.linear import linear_backward, linear_forward
from npswin.types import Array

# What describes the arguments of the MLP, here and in its branch of a block.
DESCRIBED: dict[str, Any] = {
    "fc1_weight": "hidden C",
    "fc1_bias": "hidden",
    "fc2_weight": "C hidden",
    "fc2_bias": "C",
    "hidden_drop_mask": "... hidden",
    "output_drop_mask": "... C",
}


@op(x="... C", **DESCRIBED)
def mlp_forward(
    x: Array,
    fc1_weight: Array,
    fc1_bias: Array | None,
    fc2_weight: Array,
    fc2_bias: Array | None,
    *,
    hidden_drop_mask: Array | None = None,
    output_drop_mask: Array | None = None,
) -> tuple[Array, Any]:
    """y = GELU(x W₁ᵀ + b₁) W₂ᵀ + b₂, with dropout after the GELU and at the end.

    Args:
        x: (..., C).
        fc1_weight: (hidden, C).
        fc1_bias: (hidden,) or None.
        fc2_weight: (C, hidden).
        fc2_bias: (C,) or None.
        hidden_drop_mask: (..., hidden) or None.
        output_drop_mask: (..., C) or None.

    Returns:
        y (..., C) and the cache for the backward pass.

    Test: tests/ops/test_gradients.py::test_mlp
    """
    hidden, fc1_cache = linear_forward(x, fc1_weight, fc1_bias)
    activated, gelu_cache = gelu_forward(hidden)
    activated, hidden_drop_cache = dropout_forward(activated, hidden_drop_mask)
    y, fc2_cache = linear_forward(activated, fc2_weight, fc2_bias)
    y, output_drop_cache = dropout_forward(y, output_drop_mask)
    return y, (fc1_cache, gelu_cache, hidden_drop_cache, fc2_cache, output_drop_cache)


def mlp_backward(dy: Array, cache: Any) -> tuple[Array, Array, Array | None, Array, Array | None]:
    """The backward functions of the ops above, in reverse order.

    Args:
        dy: (..., C).

    Returns:
        dx (..., C), dfc1_weight, dfc1_bias, dfc2_weight, dfc2_bias.
    """
    fc1_cache, gelu_cache, hidden_drop_cache, fc2_cache, output_drop_cache = cache
    dy = dropout_backward(dy, output_drop_cache)
    dactivated, dfc2_weight, dfc2_bias = linear_backward(dy, fc2_cache)
    dactivated = dropout_backward(dactivated, hidden_drop_cache)
    dhidden = gelu_backward(dactivated, gelu_cache)
    dx, dfc1_weight, dfc1_bias = linear_backward(dhidden, fc1_cache)
    return dx, dfc1_weight, dfc1_bias, dfc2_weight, dfc2_bias
