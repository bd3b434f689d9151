"""The MLP: one bias is added by the kernel that computes GELU, the other by the residual connection's."""

from typing import Any

from npswin.backends.cuda.gelu import add_bias_then_gelu
from npswin.backends.cuda.linear import add_bias, matrix_product, matrix_product_backward
from npswin.backends.cuda.runtime.launch import blocks, launch, sum_over_rows


def fused_mlp_forward(x: Any, weights: tuple[Any, ...], shortcut: Any, scale: Any) -> tuple[Any, Any]:
    """shortcut + s · MLP(x), and what `fused_mlp_backward` takes."""
    fc1_weight, fc1_bias, fc2_weight, fc2_bias = weights
    hidden = matrix_product(x, fc1_weight)
    activated = add_bias_then_gelu(hidden, fc1_bias)
    y = matrix_product(activated, fc2_weight)
    if fc2_bias is not None or shortcut is not None:
        add_bias(y, fc2_bias, shortcut, scale)
    return y, (x, weights, hidden, activated)


def fused_mlp_backward(dy: Any, cache: Any) -> tuple[Any, ...]:
    """dx and the gradients of the weights, dy being already scale_per_image by s."""
    x, (fc1_weight, fc1_bias, fc2_weight, fc2_bias), hidden, activated = cache
    dhidden, dfc2_weight = matrix_product_backward(dy, activated, fc2_weight)
    launch("elementwise", "gelu_backward", dy.dtype, blocks(dhidden.size), (dhidden, hidden, dhidden, dhidden.size))
    dx, dfc1_weight = matrix_product_backward(dhidden, x, fc1_weight)
    dfc1_bias, dfc2_bias = (
        None if bias is None else sum_over_rows(gradient) for bias, gradient in ((fc1_bias, dhidden), (fc2_bias, dy))
    )
    return dx, dfc1_weight, dfc1_bias, dfc2_weight, dfc2_bias
