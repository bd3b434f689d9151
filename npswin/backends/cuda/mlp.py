"""The MLP and GELU: one bias is added by the kernel that computes GELU, the other by the residual connection's."""

from typing import Any

from npswin.backends.cuda.composed import composed
from npswin.backends.cuda.launch import blocks, check_shape, launch, sum_columns
from npswin.backends.cuda.layer_norm import layer_norm_backward, layer_norm_forward
from npswin.backends.cuda.linear import add_bias, matrix_product, matrix_product_backward
from npswin.backends.cuda.masks import scaled
from npswin.devices import cupy


def _gelu(h: Any, bias: Any = None) -> Any:
    """GELU(h + bias); h gets its bias in place."""
    check_shape("bias", bias, h.shape[-1:])
    y = cupy().empty(h.shape, h.dtype)
    launch("elementwise", "gelu_forward", h.dtype, blocks(h.size), (h, bias, y, h.size, h.shape[-1]))
    return y


def gelu_forward(x: Any) -> tuple[Any, Any]:
    """See `npswin.ops.gelu_forward`."""
    x = cupy().ascontiguousarray(x)
    return _gelu(x), x


def gelu_backward(dy: Any, cache: Any) -> Any:
    """See `npswin.ops.gelu_backward`."""
    cp = cupy()
    check_shape("dy", dy, cache.shape)
    dx = cp.empty(dy.shape, dy.dtype)
    launch("elementwise", "gelu_backward", dy.dtype, blocks(dy.size), (cp.ascontiguousarray(dy), cache, dx, dy.size))
    return dx


def _forward(x: Any, weights: tuple[Any, ...], shortcut: Any, scale: Any) -> tuple[Any, Any]:
    """shortcut + s · MLP(x), and what `_backward` takes."""
    fc1_weight, fc1_bias, fc2_weight, fc2_bias = weights
    hidden = matrix_product(x, fc1_weight)
    activated = _gelu(hidden, fc1_bias)
    y = matrix_product(activated, fc2_weight)
    if fc2_bias is not None or shortcut is not None:
        add_bias(y, fc2_bias, shortcut, scale)
    return y, (x, weights, hidden, activated)


def _backward(dy: Any, cache: Any) -> tuple[Any, ...]:
    """dx and the gradients of the weights, dy being already scaled by s."""
    x, (fc1_weight, fc1_bias, fc2_weight, fc2_bias), hidden, activated = cache
    dhidden, dfc2_weight = matrix_product_backward(dy, activated, fc2_weight)
    launch("elementwise", "gelu_backward", dy.dtype, blocks(dhidden.size), (dhidden, hidden, dhidden, dhidden.size))
    dx, dfc1_weight = matrix_product_backward(dhidden, x, fc1_weight)
    dfc1_bias, dfc2_bias = (
        None if bias is None else sum_columns(gradient) for bias, gradient in ((fc1_bias, dhidden), (fc2_bias, dy))
    )
    return dx, dfc1_weight, dfc1_bias, dfc2_weight, dfc2_bias


def mlp_forward(
    x: Any, fc1_weight: Any, fc1_bias: Any, fc2_weight: Any, fc2_bias: Any, **drop_masks: Any
) -> tuple[Any, Any]:
    """See `npswin.ops.mlp_forward`; with dropout, it is not fused."""
    weights = fc1_weight, fc1_bias, fc2_weight, fc2_bias
    if any(mask is not None for mask in drop_masks.values()):
        y, cache = composed("mlp_forward")(x, *weights, **drop_masks)
        return y, (None, cache)
    x = cupy().ascontiguousarray(x)
    y, cache = _forward(x, weights, None, None)
    return y, (_backward, cache)


def mlp_backward(dy: Any, cache: Any) -> tuple[Any, ...]:
    """See `npswin.ops.mlp_backward`."""
    fused, cache = cache
    return composed("mlp_backward")(dy, cache) if fused is None else fused(cupy().ascontiguousarray(dy), cache)


def mlp_branch_forward(
    x: Any,
    norm_weight: Any,
    norm_bias: Any,
    fc1_weight: Any,
    fc1_bias: Any,
    fc2_weight: Any,
    fc2_bias: Any,
    *,
    path_scale: Any = None,
    **drop_masks: Any,
) -> tuple[Any, Any]:
    """See `npswin.ops.mlp_branch_forward`; with dropout, it is not fused."""
    weights = fc1_weight, fc1_bias, fc2_weight, fc2_bias
    if any(mask is not None for mask in drop_masks.values()):
        definition = composed("mlp_branch_forward")
        y, cache = definition(x, norm_weight, norm_bias, *weights, path_scale=path_scale, **drop_masks)
        return y, (None, cache, None)
    x = cupy().ascontiguousarray(x)
    normed, norm_cache = layer_norm_forward(x, norm_weight, norm_bias)
    y, cache = _forward(normed, weights, x, path_scale)
    return y, (norm_cache, cache, path_scale)


def mlp_branch_backward(dy: Any, cache: Any) -> tuple[Any, ...]:
    """See `npswin.ops.mlp_branch_backward`."""
    norm_cache, cache, path_scale = cache
    if norm_cache is None:
        return composed("mlp_branch_backward")(dy, cache)
    dy = cupy().ascontiguousarray(dy)
    dnormed, *dmlp = _backward(scaled(dy, path_scale), cache)
    return *layer_norm_backward(dnormed, norm_cache, shortcut=dy), *dmlp
