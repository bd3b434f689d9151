"""The absolute position embedding: one learned vector a place, added to the tokens (section 4.4)."""

from typing import Any

from npswin.ops.arguments import pair
from npswin.ops.description import op
from npswin.ops.resize import resize_bicubic_backward, resize_bicubic_forward
from npswin.types import Array


@op(x="B H W C", table="1 rows*columns C", grid=pair("rows", "columns"))
def position_embed_forward(x: Array, table: Array, grid: tuple[int, int]) -> tuple[Array, Any]:
    """y = x + table, the table resampled bicubically where the map is not of its size.

    Args:
        x: (B, H, W, C).
        table: (1, H₀·W₀, C), row by row.
        grid: (H₀, W₀), the map's size that the table was made for.

    Returns:
        y (B, H, W, C) and the cache for the backward pass.

    Test: tests/ops/test_gradients.py::test_position_embed
    """
    places = table.reshape(1, *grid, -1)
    resize_cache = None
    if x.shape[1:3] != grid:
        places, resize_cache = resize_bicubic_forward(places, x.shape[1:3])
    return x + places, (table.shape, resize_cache)


def position_embed_backward(dy: Array, cache: Any) -> tuple[Array, Array]:
    """dx = dy; every image reads the same table, so its gradient is their sum, carried back through the resampling.

    Args:
        dy: (B, H, W, C).

    Returns:
        dx (B, H, W, C), dtable (1, H₀·W₀, C).
    """
    table_shape, resize_cache = cache
    dplaces = dy.sum(axis=0, keepdims=True)
    if resize_cache is not None:
        dplaces = resize_bicubic_backward(dplaces, resize_cache)
    return dy, dplaces.reshape(table_shape)
