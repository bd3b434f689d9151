"""(S)W-MSA: cuBLAS' product computes q, k and v of the map, a kernel attends, cuBLAS' product projects.

The map is never cut into windows in memory: `kernels/window_attention.cu` reads and writes its tokens where they are.
"""

from typing import Any, NamedTuple

import numpy as np

from npswin.backends.cuda.linear import add_bias, matrix_product, matrix_product_backward
from npswin.backends.cuda.runtime import matrix_product as products
from npswin.backends.cuda.runtime.constants import constant
from npswin.backends.cuda.runtime.launch import (
    BLOCK,
    WARP,
    add_partial_sums,
    blocks,
    capability,
    launch,
    max_shared_memory,
    sum_dtype,
    sum_over_rows,
)
from npswin.devices import cupy
from npswin.ops.window_attention import AttentionSpec, AttentionWeights
from npswin.ops.windows import padded_size

_NO_TABLE, _COLUMN_A_HEAD, _ONE_COLUMN, _ROW_A_PAIR = range(4)
_WARPS = BLOCK // WARP
_TOKENS, _DIMS = (16, 64, 144), 32  # of a window and a head, filled up for tensor cores
_SHARES = 512  # blocks that share the windows in the backward pass, for all heads together


class Geometry(NamedTuple):
    """`Geometry` of the kernel's source, in its order."""

    images: int
    height: int
    width: int
    window: int
    shift_size: int
    rows: int
    columns: int
    heads: int
    dim: int

    @property
    def tokens(self) -> int:
        return self.window**2

    @property
    def padding(self) -> int:
        """Tokens of the padding, in all images."""
        return self.images * (self.rows * self.columns * self.tokens - self.height * self.width)


def _integers(geometry: Geometry) -> Any:
    return np.array(geometry, np.int32)


def _geometry(shape: tuple[int, ...], inner_dim: int, spec: AttentionSpec) -> Geometry:
    images, height, width, _ = shape
    window, heads = spec.window_size, spec.num_heads
    rows, columns = (side // window for side in padded_size(height, width, window))
    return Geometry(images, height, width, window, spec.shift_size, rows, columns, heads, inner_dim // heads)


def _kind(table: Any, geometry: Geometry) -> Any:
    if table is None:
        return _NO_TABLE
    rows = (2 * geometry.window - 1) ** 2
    kinds = {(rows, 1): _ONE_COLUMN, (rows, geometry.heads): _COLUMN_A_HEAD, (geometry.tokens,) * 2: _ROW_A_PAIR}
    return kinds[table.shape]


def _tensor_core_tokens(dtype: Any, geometry: Geometry) -> int:
    """To how many tokens the kernels on tensor cores fill a window up; 0 where they do not serve."""
    is_short = dtype.itemsize == 2 or (dtype == np.float32 and products.tf32_allowed)
    fits = is_short and geometry.dim <= _DIMS and geometry.tokens <= _TOKENS[-1] and capability() >= 80
    return next(count for count in _TOKENS if geometry.tokens <= count) if fits else 0


def _shared_bytes(dtype: Any, geometry: Geometry) -> tuple[int, int]:
    """Shared memory of the forward and the backward kernel."""
    tokens, dim = geometry.tokens, geometry.dim
    if filled := _tensor_core_tokens(dtype, geometry):
        rows, turned = (dtype.itemsize * size for size in (filled * (_DIMS + 8), _DIMS * (filled + 8)))
        return 2 * rows + turned + 12 * filled, 4 * rows + 3 * turned + 24 * filled
    forward, backward = 2 * tokens * (dim + 1) + _WARPS * (dim + tokens), 4 * tokens * (dim + 1) + 3 * tokens
    size = sum_dtype(dtype).itemsize
    return forward * size + 12 * tokens, (backward + _WARPS * 2 * tokens) * size + 12 * tokens


def is_fused(x: Any, weights: AttentionWeights, spec: AttentionSpec, drop_masks: dict[str, Any]) -> bool:
    """Whether the kernels take it: nothing is dropped, and a window fits into a block's shared memory."""
    geometry = _geometry(x.shape, weights.proj_weight.shape[1], spec)
    dropped = any(mask is not None for mask in drop_masks.values())
    return not dropped and max(_shared_bytes(x.dtype, geometry)) <= max_shared_memory()


def _heads_forward(qkv: Any, qkv_bias: Any, table: Any, geometry: Geometry, mask_value: float) -> Any:
    """The heads' outputs, (B, H, W, hd), from the map of q, k and v without their bias."""
    out = cupy().empty((*qkv.shape[:3], geometry.heads * geometry.dim), qkv.dtype)
    shared, _ = _shared_bytes(qkv.dtype, geometry)
    grid = geometry.images * geometry.rows * geometry.columns, geometry.heads
    args = qkv, qkv_bias, table, _kind(table, geometry), out, constant(_integers, geometry), mask_value
    if filled := _tensor_core_tokens(qkv.dtype, geometry):
        name, block = f"attention_forward_{filled}", (2 * filled,)
        launch("window_attention_tensor_cores", name, qkv.dtype, grid, args, block, shared)
    else:
        launch("window_attention", "window_attention_forward", qkv.dtype, grid, args, shared=shared)
    return out


def _heads_backward(
    dout: Any, qkv: Any, qkv_bias: Any, table: Any, geometry: Geometry, mask_value: float
) -> tuple[Any, Any]:
    """dqkv, rows of the map and after them of the padding, and dtable."""
    cp, sums, tokens = cupy(), sum_dtype(qkv.dtype), geometry.tokens
    _, shared = _shared_bytes(qkv.dtype, geometry)
    heads, windows = geometry.heads, geometry.images * geometry.rows * geometry.columns
    kind, on_device = _kind(table, geometry), constant(_integers, geometry)
    dqkv = cp.empty((qkv.size // qkv.shape[-1] + geometry.padding, qkv.shape[-1]), qkv.dtype)
    shares = max(1, min(windows, _SHARES // heads))
    dbias = None if table is None else cp.empty((shares, heads, tokens, tokens), sums)
    args = dout, qkv, qkv_bias, table, kind, dqkv, dbias, on_device, mask_value
    if filled := _tensor_core_tokens(qkv.dtype, geometry):
        name, block = f"attention_backward_{filled}", (2 * filled,)
        launch("window_attention_tensor_cores", name, qkv.dtype, (shares, heads), args, block, shared)
    else:
        launch("window_attention", "window_attention_backward", qkv.dtype, (shares, heads), args, shared=shared)
    if table is None:
        return dqkv, None
    dtable = cp.empty(table.shape, table.dtype)
    bias_args = add_partial_sums(dbias), dtable, kind, on_device
    launch("window_attention", "collect_bias", qkv.dtype, blocks(dtable.size), bias_args)
    return dqkv, dtable


def fused_attention_forward(
    x: Any, weights: AttentionWeights, spec: AttentionSpec, shortcut: Any, scale: Any
) -> tuple[Any, Any]:
    """shortcut + s · WindowAttention(x), and what `fused_attention_backward` takes."""
    qkv_weight, qkv_bias, proj_weight, proj_bias, table = weights
    mask_value = spec.mask_value
    geometry = _geometry(x.shape, proj_weight.shape[1], spec)
    qkv = matrix_product(x, qkv_weight)
    attended = _heads_forward(qkv, qkv_bias, table, geometry, mask_value)
    y = matrix_product(attended, proj_weight)
    if proj_bias is not None or shortcut is not None:
        add_bias(y, proj_bias, shortcut, scale)
    return y, (x, weights, qkv, attended, geometry, mask_value)


def fused_attention_backward(dy: Any, cache: Any) -> tuple[Any, ...]:
    """dx and the gradients of the weights, dy being already scale_per_image by s."""
    x, (qkv_weight, qkv_bias, proj_weight, proj_bias, table), qkv, attended, geometry, mask_value = cache
    dattended, dproj_weight = matrix_product_backward(dy, attended, proj_weight)
    dqkv, dtable = _heads_backward(dattended, qkv, qkv_bias, table, geometry, mask_value)
    dx, dqkv_weight = matrix_product_backward(dqkv[: x.size // x.shape[-1]], x, qkv_weight)
    dqkv_bias = None if qkv_bias is None else sum_over_rows(dqkv)
    dproj_bias = None if proj_bias is None else sum_over_rows(dy)
    return dx, dqkv_weight, dqkv_bias, dproj_weight, dproj_bias, dtable
