"""What tells attention where tokens stand: the bias of each pair of tokens, and the embedding of each place."""

from typing import Any

from npswin import ops
from npswin.backends.cpu.arrays import are_floats, flat
from npswin.backends.cpu.jit import kernel, view
from npswin.backends.cpu.memory import empty
from npswin.backends.cpu.resize import resize_bicubic_backward, resize_bicubic_forward
from npswin.backends.cpu.threads import run_parallel
from npswin.ops.position_bias import relative_position_index
from npswin.types import Array

BLOCK = 1 << 12  # numbers of a map in a piece of work


@kernel
def _read_table(first: int, stop: int, part: int, scratch: Array, table: Array, index: Array, bias: Array) -> None:
    heads = bias.size // index.size
    for head in range(first, stop):
        out = view(bias, head * index.size, index.size)
        for pair in range(index.size):
            out[pair] = table[index[pair] * heads + head]


@kernel
def _add_to_table(first: int, stop: int, part: int, scratch: Array, dbias: Array, index: Array, dtable: Array) -> None:
    heads = dbias.size // index.size
    for head in range(first, stop):
        up = view(dbias, head * index.size, index.size)
        for row in range(dtable.size // heads):
            dtable[row * heads + head] = 0
        for pair in range(index.size):
            dtable[index[pair] * heads + head] += up[pair]


def position_bias_forward(table: Array, window_size: int) -> tuple[Array, Any]:
    """See `npswin.ops.position_bias_forward`; a table of all pairs is the bias as it is."""
    if table.shape == (window_size**2, window_size**2) or not are_floats(table):
        return ops.position_bias_forward(table, window_size)
    index, rows = relative_position_index(window_size), (2 * window_size - 1) ** 2
    if len(table) != rows:
        raise ValueError(f"bias table: got shape {table.shape}, expected {rows} rows, windows being {window_size}²")
    bias = empty((table.shape[1], *index.shape), table.dtype)
    run_parallel(_read_table, len(bias), 0, table.dtype, flat(table), flat(index), bias.reshape(-1))
    return bias, (index, table)


def position_bias_backward(dbias: Array, cache: Any) -> Array:
    """See `npswin.ops.position_bias_backward`."""
    index, table = cache
    if index is None or not are_floats(dbias, table):
        return ops.position_bias_backward(dbias, cache)
    dtable = empty(table.shape, table.dtype)
    run_parallel(_add_to_table, len(dbias), 0, table.dtype, flat(dbias), flat(index), dtable.reshape(-1))
    return dtable


@kernel
def _add_places(first: int, stop: int, part: int, scratch: Array, x: Array, places: Array, y: Array) -> None:
    for block in range(first, stop):
        start, count = block * BLOCK, min(BLOCK, places.size - block * BLOCK)
        added = view(places, start, count)
        for image in range(0, x.size, places.size):
            source, out = view(x, image + start, count), view(y, image + start, count)
            for i in range(count):
                out[i] = source[i] + added[i]


@kernel
def _sum_images(first: int, stop: int, part: int, scratch: Array, dy: Array, dplaces: Array) -> None:
    number = dy.dtype.type
    for block in range(first, stop):
        start, count = block * BLOCK, min(BLOCK, dplaces.size - block * BLOCK)
        total = view(dplaces, start, count)
        total[:] = number(0)
        for image in range(0, dy.size, dplaces.size):
            up = view(dy, image + start, count)
            for i in range(count):
                total[i] += up[i]


def position_embed_forward(x: Array, table: Array, grid: tuple[int, int]) -> tuple[Array, Any]:
    """See `npswin.ops.position_embed_forward`."""
    if not are_floats(x, table):
        return ops.position_embed_forward(x, table, grid)
    places, resize_cache = table.reshape(1, *grid, -1), None
    if x.shape[1:3] != grid:
        places, resize_cache = resize_bicubic_forward(places, x.shape[1:3])
    if places.shape[1:] != x.shape[1:]:
        raise ValueError(f"table: got shape {table.shape}, expected {x.shape[3]} channels")
    y = empty(x.shape, x.dtype)
    run_parallel(_add_places, -(-places.size // BLOCK), 0, x.dtype, flat(x), flat(places), y.reshape(-1))
    return y, (table.shape, resize_cache)


def position_embed_backward(dy: Array, cache: Any) -> tuple[Array, Array]:
    """See `npswin.ops.position_embed_backward`."""
    if not are_floats(dy):
        return ops.position_embed_backward(dy, cache)
    table_shape, resize_cache = cache
    dplaces = empty((1, *dy.shape[1:]), dy.dtype)
    run_parallel(_sum_images, -(-dplaces.size // BLOCK), 0, dy.dtype, flat(dy), dplaces.reshape(-1))
    if resize_cache is not None:
        dplaces = resize_bicubic_backward(dplaces, resize_cache)
    return dy, dplaces.reshape(table_shape)
