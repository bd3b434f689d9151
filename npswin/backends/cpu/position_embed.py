"""`position_embed`: one learned vector a token, added to each image's map."""

from typing import Any

from npswin.backends.cpu.machine.arrays import flat
from npswin.backends.cpu.machine.compilation import kernel
from npswin.backends.cpu.machine.flat_array import fill, view
from npswin.backends.cpu.machine.memory import pooled_empty
from npswin.backends.cpu.machine.threads import run_parallel
from npswin.backends.cpu.resize import resize_bicubic_backward, resize_bicubic_forward
from npswin.types import Array

BLOCK = 1 << 12  # numbers of a map in a piece of work


@kernel
def _add_embedding(first: int, stop: int, part: int, scratch: Array, x: Array, embedding: Array, y: Array) -> None:
    for block in range(first, stop):
        start, count = block * BLOCK, min(BLOCK, embedding.size - block * BLOCK)
        added = view(embedding, start, count)
        for image in range(0, x.size, embedding.size):
            source, out = view(x, image + start, count), view(y, image + start, count)
            for i in range(count):
                out[i] = source[i] + added[i]


@kernel
def _sum_images(first: int, stop: int, part: int, scratch: Array, dy: Array, dembedding: Array) -> None:
    for block in range(first, stop):
        start, count = block * BLOCK, min(BLOCK, dembedding.size - block * BLOCK)
        total = view(dembedding, start, count)
        fill(total, 0)
        for image in range(0, dy.size, dembedding.size):
            dy_block = view(dy, image + start, count)
            for i in range(count):
                total[i] += dy_block[i]


def position_embed_forward(x: Array, table: Array, grid: tuple[int, int]) -> tuple[Array, Any]:
    """See `npswin.ops.position_embed_forward`."""
    embedding, resize_cache = table.reshape(1, *grid, -1), None
    if x.shape[1:3] != grid:
        embedding, resize_cache = resize_bicubic_forward(embedding, x.shape[1:3])
    y = pooled_empty(x.shape, x.dtype)
    run_parallel(_add_embedding, -(-embedding.size // BLOCK), 0, x.dtype, flat(x), flat(embedding), y.reshape(-1))
    return y, (table.shape, resize_cache)


def position_embed_backward(dy: Array, cache: Any) -> tuple[Array, Array]:
    """See `npswin.ops.position_embed_backward`."""
    table_shape, resize_cache = cache
    dembedding = pooled_empty((1, *dy.shape[1:]), dy.dtype)
    run_parallel(_sum_images, -(-dembedding.size // BLOCK), 0, dy.dtype, flat(dy), dembedding.reshape(-1))
    if resize_cache is not None:
        dembedding = resize_bicubic_backward(dembedding, resize_cache)
    return dy, dembedding.reshape(table_shape)
