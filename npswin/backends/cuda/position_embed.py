"""`position_embed`: the definition in the dtype of the table."""

from typing import Any

from npswin.backends.cuda.unfused_op import unfused_op


def position_embed_forward(x: Any, table: Any, grid: tuple[int, int]) -> tuple[Any, Any]:
    """See `npswin.ops.position_embed_forward`."""
    y, cache = unfused_op("position_embed_forward")(x.astype(table.dtype, copy=False), table, grid)
    return y.astype(x.dtype, copy=False), (table.dtype, cache)


def position_embed_backward(dy: Any, cache: Any) -> tuple[Any, Any]:
    """See `npswin.ops.position_embed_backward`."""
    dtype, cache = cache
    return dy, unfused_op("position_embed_backward")(dy.astype(dtype, copy=False), cache)[1]
