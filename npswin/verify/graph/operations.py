"""The operations of Swin's graph: ops of `npswin.ops`, and the rearrangements and products between them."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from npswin.data.mixing import one_hot
from npswin.ops.attention import merge_heads, split_heads, unmerge_heads
from npswin.ops.gelu import gelu_backward, gelu_forward
from npswin.ops.layer_norm import layer_norm_backward, layer_norm_forward
from npswin.ops.linear import linear_backward, linear_forward
from npswin.ops.loss import cross_entropy_backward, cross_entropy_forward
from npswin.ops.patch_embed import patch_embed_backward, patch_embed_forward
from npswin.ops.patch_merging import patch_concat_backward, patch_concat_forward
from npswin.ops.pool import mean_pool_backward, mean_pool_forward
from npswin.ops.position_bias import position_bias_backward, position_bias_forward
from npswin.ops.position_embed import position_embed_backward, position_embed_forward
from npswin.ops.residual import residual_backward, residual_forward
from npswin.ops.softmax import softmax_backward, softmax_forward
from npswin.ops.windows import crop_padding, cut_windows, cyclic_shift, join_windows, pad_to_windows, shift_mask
from npswin.types import Array
from npswin.verify.graph.node import Operation, Shape


def one_input(backward: Callable[[Array, Any], Array]) -> Callable[[Array, Any], tuple[Array, ...]]:
    """Wrap a backward function that returns dx alone, so that it returns a tuple."""
    return lambda dy, cache: (backward(dy, cache),)


def constant(name: str, compute: Callable[..., Array]) -> Operation:
    """An operation without derivatives by its inputs."""
    return Operation(name, lambda *inputs, **settings: (compute(*inputs, **settings), len(inputs)), _no_derivatives)


def _no_derivatives(dy: Array, count: int) -> tuple[None, ...]:
    return (None,) * count


def _normalize(pixels: Array, mean: tuple[float, ...], std: tuple[float, ...]) -> Array:
    return (pixels / 255 - np.reshape(mean, (-1, 1, 1))) / np.reshape(std, (-1, 1, 1))


def _patch_embed_forward(
    images: Array, weight: Array, bias: Array | None, image_size: tuple[int, int], patch_size: int
) -> tuple[Array, Any]:
    """As in `npswin.ops`; the sizes, which the arrays have, are for those who read the graph without them."""
    return patch_embed_forward(images, weight, bias)


def _mask(height: int, width: int, window_size: int, shift: int, mask_value: float) -> Array:
    return shift_mask(height, width, window_size, shift, mask_value, "float64")


def _pad_forward(x: Array, window_size: int) -> tuple[Array, Any]:
    return pad_to_windows(x, window_size), x.shape[1:3]


def _crop_forward(x: Array, size: tuple[int, int]) -> tuple[Array, Any]:
    return crop_padding(x, size), x.shape


def _crop_backward(dy: Array, shape: Any) -> tuple[Array]:
    dx = np.zeros(shape, dy.dtype)
    dx[:, : dy.shape[1], : dy.shape[2]] = dy
    return (dx,)


def _shift_forward(x: Array, shift: int) -> tuple[Array, Any]:  # `shift` is the name in answer keys
    return cyclic_shift(x, shift), shift


def _cut_forward(x: Array, window_size: int) -> tuple[Array, Any]:
    windows = cut_windows(x, window_size)
    return windows.reshape(len(x), -1, *windows.shape[1:]), (x.shape[1:3], window_size)


def _cut_backward(dy: Array, cache: Any) -> tuple[Array]:
    return (join_windows(dy, *cache),)


def _join_forward(windows: Array, size: tuple[int, int], window_size: int) -> tuple[Array, Any]:
    return join_windows(windows, size, window_size), window_size


def _join_backward(dy: Array, window_size: Any) -> tuple[Array]:
    return (_cut_forward(dy, window_size)[0],)


def _split_forward(qkv: Array, num_heads: int, part: int) -> tuple[Array, Any]:
    heads = split_heads(qkv.reshape(-1, *qkv.shape[2:]), num_heads)[part]
    return heads.reshape(*qkv.shape[:2], *heads.shape[1:]), (qkv.shape, part)


def _split_backward(dy: Array, cache: Any) -> tuple[Array]:
    shape, part = cache
    dqkv = np.zeros(shape, dy.dtype)
    split_heads(dqkv.reshape(-1, *shape[2:]), dy.shape[2])[part][...] = dy.reshape(-1, *dy.shape[2:])
    return (dqkv,)


def _scale_forward(x: Array, factor: float) -> tuple[Array, Any]:
    return x * x.dtype.type(factor), factor


def _scale_backward(dy: Array, factor: float) -> tuple[Array]:
    return (dy * dy.dtype.type(factor),)


def _scores_forward(q: Array, k: Array) -> tuple[Array, Any]:
    return q @ k.swapaxes(-1, -2), (q, k)


def _scores_backward(dy: Array, cache: Any) -> tuple[Array, Array]:
    q, k = cache
    return dy @ k, dy.swapaxes(-1, -2) @ q


def _context_forward(probabilities: Array, v: Array) -> tuple[Array, Any]:
    return probabilities @ v, (probabilities, v)


def _context_backward(dy: Array, cache: Any) -> tuple[Array, Array]:
    probabilities, v = cache
    return dy @ v.swapaxes(-1, -2), probabilities.swapaxes(-1, -2) @ dy


def _bias_forward(scores: Array, bias: Array) -> tuple[Array, Any]:
    return scores + bias, bias.shape


def _bias_backward(dy: Array, shape: Any) -> tuple[Array, Array]:
    dbias = dy.sum(axis=(0, 1))
    return dy, dbias if shape[0] == len(dbias) else dbias.sum(axis=0, keepdims=True)


def _norm_terms(dy: Array, cache: Any) -> tuple[None, Array, Array]:
    xhat, _, _ = cache
    return None, dy * xhat, dy


def _mask_forward(scores: Array, mask: Array) -> tuple[Array, Any]:
    return scores + mask[:, None], None


def _merge_forward(heads: Array) -> tuple[Array, Any]:
    return merge_heads(heads), heads.shape[2]


def _position_embed_forward(x: Array, table: Array, grid: tuple[int, int]) -> tuple[Array, Any]:
    return position_embed_forward(x, table, grid)


def _loss_forward(logits: Array, labels: Array) -> tuple[Array, Any]:
    loss, cache = cross_entropy_forward(logits, one_hot(labels.astype(np.int64), logits.shape[1], logits.dtype))
    return np.asarray(loss), cache


def _loss_backward(dloss: Array, cache: Any) -> tuple[Array, None]:
    return cross_entropy_backward(dloss, cache), None


def _rows_summed(y: Shape, x: Shape, weight: Shape, *bias: Shape) -> tuple[int, ...]:
    """Terms of y = x Wᵀ + b and of a norm: the channels for y and dx, all rows for the parameters' gradients."""
    rows = math.prod(y) // y[-1]
    terms_of_y = math.prod(weight[1:]) if len(weight) > 1 else y[-1]
    return terms_of_y, weight[0], rows, *[rows] * len(bias)


def _products_summed(y: Shape, a: Shape, b: Shape) -> tuple[int, ...]:
    """Terms of a product a b or a bᵀ of many small matrices."""
    multiply_adds = math.prod(y) * a[-1]
    return a[-1], multiply_adds // math.prod(a), multiply_adds // math.prod(b)


def _last_axis_summed(y: Shape, x: Shape) -> tuple[int, ...]:
    return y[-1], y[-1]


def _positions_summed(y: Shape, x: Shape) -> tuple[int, ...]:
    return x[1] * x[2], 1


def _classes_summed(y: Shape, logits: Shape, labels: Shape) -> tuple[int, ...]:
    return math.prod(logits), logits[-1], 1


NORMALIZE = constant("normalize", _normalize)
MASK = constant("shift_mask", _mask)
PATCH_EMBED = Operation("patch_embed", _patch_embed_forward, patch_embed_backward, _rows_summed, multiplies=True)
POSITION_EMBED = Operation("position_embed", _position_embed_forward, position_embed_backward)
LAYER_NORM = Operation("layer_norm", layer_norm_forward, layer_norm_backward, _rows_summed)
LINEAR = Operation(
    "linear",
    linear_forward,
    lambda dy, cache: linear_backward(dy, cache)[: 2 + cache[2]],
    _rows_summed,
    multiplies=True,
)
GELU = Operation("gelu", gelu_forward, one_input(gelu_backward))
PAD = Operation("pad", _pad_forward, one_input(crop_padding))
CROP = Operation("crop", _crop_forward, _crop_backward)
SHIFT = Operation("cyclic_shift", _shift_forward, lambda dy, shift: (cyclic_shift(dy, -shift),))
CUT = Operation("cut_windows", _cut_forward, _cut_backward)
JOIN = Operation("join_windows", _join_forward, _join_backward)
SPLIT = Operation("split_heads", _split_forward, _split_backward)
SCALE = Operation("scale", _scale_forward, _scale_backward)
SCORES = Operation("scores", _scores_forward, _scores_backward, _products_summed, multiplies=True)
POSITION_BIAS = Operation("position_bias", position_bias_forward, one_input(position_bias_backward))
ADD_BIAS = Operation("add_bias", _bias_forward, _bias_backward)
ADD_MASK = Operation("add_mask", _mask_forward, lambda dy, _: (dy, None))
SOFTMAX = Operation("softmax", softmax_forward, one_input(softmax_backward), _last_axis_summed)
CONTEXT = Operation("mix", _context_forward, _context_backward, _products_summed, multiplies=True)
MERGE = Operation("merge_heads", _merge_forward, one_input(unmerge_heads))
RESIDUAL = Operation("residual", residual_forward, residual_backward)
CONCAT = Operation("patch_concat", patch_concat_forward, one_input(patch_concat_backward))
POOL = Operation("mean_pool", mean_pool_forward, one_input(mean_pool_backward), _positions_summed)
LOSS = Operation("cross_entropy", _loss_forward, _loss_backward, _classes_summed)

# By backward function: (dy, cache) -> for each input the terms (..., C) whose sum over all rows is its derivative,
# or None. These are the sums that PyTorch takes in the precision of the rows.
ROW_TERMS: dict[Callable[..., Any], Callable[[Array, Any], tuple[Array | None, ...]]] = {
    layer_norm_backward: _norm_terms
}
