"""W-MSA and SW-MSA: windows of a map, attention inside each, and back to the map (section 3.2)."""

from functools import lru_cache
from typing import Any, NamedTuple

from npswin.checks import check_integer, check_number, shown
from npswin.ops.arguments import LARGEST_SIDE, Axes, Value
from npswin.ops.attention import attention_backward, attention_forward
from npswin.ops.description import op
from npswin.ops.dropout import dropout_backward, dropout_forward
from npswin.ops.linear import linear_backward, linear_forward
from npswin.ops.position_bias import TABLE_SIZES, position_bias_backward, position_bias_forward
from npswin.ops.windows import (
    check_shift,
    count_windows,
    shift_mask,
    window_partition_backward,
    window_partition_forward,
    window_reverse_backward,
    window_reverse_forward,
)
from npswin.types import Array


class AttentionSpec(NamedTuple):
    """How attention is computed: what layers, backends and the answer key read, and what identifies a variant of it.

    Attributes:
        num_heads: h.
        window_size: M.
        shift_size: rows and columns of the cyclic shift: 0 for W-MSA, M//2 for SW-MSA.
        mask_value: added to the scores of pairs of tokens that are neighbours only because of the shift.
    """

    num_heads: int
    window_size: int
    shift_size: int = 0
    mask_value: float = -100.0


class AttentionWeights(NamedTuple):
    """The parameters of attention, in the order in which its op takes them and returns their gradients.

    Attributes:
        qkv_weight: (3hd, C).
        qkv_bias: (3hd,) or None.
        proj_weight: (C, hd).
        proj_bias: (C,) or None.
        bias_table: ((2M − 1)², h), ((2M − 1)², 1), (N, N) or None; see `npswin.ops.position_bias_forward`.
    """

    qkv_weight: Array
    qkv_bias: Array | None
    proj_weight: Array
    proj_bias: Array | None
    bias_table: Array | None


@lru_cache(maxsize=256, typed=True)
def _checked_spec(num_heads: Any, window_size: Any, shift_size: Any, mask_value: Any) -> AttentionSpec:
    window_size = check_integer("spec.window_size", window_size, 1, LARGEST_SIDE)
    shift_size = check_integer("spec.shift_size", shift_size, 0)
    check_shift(window_size, shift_size, "spec.shift_size")
    mask_value = check_number("spec.mask_value", mask_value, below=0, finite=False)
    return AttentionSpec(check_integer("spec.num_heads", num_heads, 1), window_size, shift_size, mask_value)


def _check_spec(name: str, value: Any) -> AttentionSpec:
    if not isinstance(value, AttentionSpec):
        raise ValueError(f"{name}: got {shown(value)}, expected an AttentionSpec")
    try:
        return _checked_spec(*value)
    except TypeError:  # a field that cannot be a key, such as a list
        return _checked_spec.__wrapped__(*value)


# What describes the arguments of attention, here and in its branch of a block.
DESCRIBED: dict[str, Any] = {
    "qkv_weight": "3*h*d C",
    "qkv_bias": "3*h*d",
    "proj_weight": "C h*d",
    "proj_bias": "C",
    "bias_table": Axes("R h", "R 1", "N N"),
    "spec": Value(_check_spec, sizes=("h", "M")),
    "attn_drop_mask": "images*nW h N N",
    "proj_drop_mask": "images*nW N C",
    "derived": {**TABLE_SIZES, "nW": lambda H, W, M: count_windows(H, W, M)},
}


@op(x="images H W C", **DESCRIBED)
def window_attention_forward(
    x: Array,
    qkv_weight: Array,
    qkv_bias: Array | None,
    proj_weight: Array,
    proj_bias: Array | None,
    bias_table: Array | None,
    *,
    spec: AttentionSpec,
    attn_drop_mask: Array | None = None,
    proj_drop_mask: Array | None = None,
) -> tuple[Array, Any]:
    """partition -> qkv -> attention -> projection -> reverse.

    Padding happens here, after the block's norm: padded tokens are zeros that become keys and values through the
    qkv bias, as in the official dense-prediction code.

    Args:
        x: (B, H, W, C).
        qkv_weight, qkv_bias, proj_weight, proj_bias, bias_table: see `AttentionWeights`.
        spec: heads, windows, shift and mask.
        attn_drop_mask: (B·nW, h, N, N) or None, dropout on the probabilities.
        proj_drop_mask: (B·nW, N, C) or None, dropout on the projection.

    Returns:
        y (B, H, W, C) and the cache for the backward pass.

    Test: tests/ops/test_gradients.py::test_window_attention
    """
    height, width = x.shape[1:3]
    num_heads, window_size, shift_size, mask_value = spec
    mask = None
    if shift_size:
        mask = shift_mask(height, width, window_size, shift_size, mask_value, x.real.dtype.name)
    bias, bias_cache = None, None
    if bias_table is not None:
        bias, bias_cache = position_bias_forward(bias_table, window_size)

    windows, partition_cache = window_partition_forward(x, window_size, shift_size)
    qkv, qkv_cache = linear_forward(windows, qkv_weight, qkv_bias)
    attended, attention_cache = attention_forward(qkv, bias, mask, num_heads, attn_drop_mask)
    projected, proj_cache = linear_forward(attended, proj_weight, proj_bias)
    dropped, drop_cache = dropout_forward(projected, proj_drop_mask)
    y, reverse_cache = window_reverse_forward(dropped, (height, width), window_size, shift_size)
    return y, (bias_cache, partition_cache, qkv_cache, attention_cache, proj_cache, drop_cache, reverse_cache)


def window_attention_backward(
    dy: Array, cache: Any
) -> tuple[Array, Array, Array | None, Array, Array | None, Array | None]:
    """The backward functions of the ops above, in reverse order.

    Args:
        dy: (B, H, W, C).

    Returns:
        dx (B, H, W, C), dqkv_weight, dqkv_bias, dproj_weight, dproj_bias, dbias_table; None where there is none.
    """
    bias_cache, partition_cache, qkv_cache, attention_cache, proj_cache, drop_cache, reverse_cache = cache
    ddropped = window_reverse_backward(dy, reverse_cache)
    dprojected = dropout_backward(ddropped, drop_cache)
    dattended, dproj_weight, dproj_bias = linear_backward(dprojected, proj_cache)
    dqkv, dbias = attention_backward(dattended, attention_cache)
    dwindows, dqkv_weight, dqkv_bias = linear_backward(dqkv, qkv_cache)
    dx = window_partition_backward(dwindows, partition_cache)
    dbias_table = None if dbias is None else position_bias_backward(dbias, bias_cache)
    return dx, dqkv_weight, dqkv_bias, dproj_weight, dproj_bias, dbias_table
