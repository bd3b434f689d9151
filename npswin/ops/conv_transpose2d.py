"""Transposed convolution whose stride is its kernel's side: each token becomes a k×k patch of the result."""

from typing import Any

from npswin.ops.description import op
from npswin.ops.linear import linear_backward, linear_forward
from npswin.types import Array


@op(x="B H W I", weight="I O k k", bias="O")
def conv_transpose2d_forward(x: Array, weight: Array, bias: Array | None = None) -> tuple[Array, Any]:
    """Patches do not overlap, so that each entry of the result comes from one token:

        y_(kh+i)(kw+j) = W_ijᵀ x_hw + b        with W_ij = weight[:, :, i, j]

    Equal to torch.nn.functional.conv_transpose2d with stride k on maps with channels last.

    Args:
        x: (B, H, W, I).
        weight: (I, O, k, k), the layout of the official checkpoints.
        bias: (O,) or None.

    Returns:
        y (B, kH, kW, O) and the cache for the backward pass.

    Test: tests/ops/test_gradients.py::test_conv_transpose2d
    """
    batch, height, width, inputs = x.shape
    outputs, side = weight.shape[1:3]
    patches, linear_cache = linear_forward(x, weight.reshape(inputs, -1).T)
    patches = patches.reshape(batch, height, width, outputs, side, side)
    y = patches.transpose(0, 1, 4, 2, 5, 3).reshape(batch, side * height, side * width, outputs)
    return y if bias is None else y + bias, (weight.shape, bias is not None, linear_cache)


def conv_transpose2d_backward(dy: Array, cache: Any) -> tuple[Array, Array, Array | None]:
    """A linear map of each token, so its derivative is that of `linear`, once dy is cut into patches again.

    Args:
        dy: (B, kH, kW, O).

    Returns:
        dx (B, H, W, I), dweight (I, O, k, k), dbias (O,) or None.
    """
    weight_shape, has_bias, linear_cache = cache
    _, outputs, side, _ = weight_shape
    batch, height, width = dy.shape[0], dy.shape[1] // side, dy.shape[2] // side
    dpatches = dy.reshape(batch, height, side, width, side, outputs).transpose(0, 1, 3, 5, 2, 4)
    dx, dweight, _ = linear_backward(dpatches.reshape(batch, height, width, outputs * side**2), linear_cache)
    dbias = dy.reshape(-1, outputs).sum(axis=0) if has_bias else None
    return dx, dweight.T.reshape(weight_shape), dbias
