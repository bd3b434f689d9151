"""`position_bias`: a head's column of the table at a time."""

from typing import Any

from npswin.backends.cpu.machine.arrays import flat
from npswin.backends.cpu.machine.compilation import kernel
from npswin.backends.cpu.machine.flat_array import view
from npswin.backends.cpu.machine.memory import pooled_empty
from npswin.backends.cpu.machine.threads import run_parallel
from npswin.ops import position_bias as definition
from npswin.types import Array


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
        dbias_of_head = view(dbias, head * index.size, index.size)
        for row in range(dtable.size // heads):
            dtable[row * heads + head] = 0
        for pair in range(index.size):
            dtable[index[pair] * heads + head] += dbias_of_head[pair]


def position_bias_forward(table: Array, window_size: int) -> tuple[Array, Any]:
    """See `npswin.ops.position_bias_forward`; a table of all pairs is the bias as it is."""
    if table.shape == (window_size**2, window_size**2):
        return definition.position_bias_forward(table, window_size)
    index = definition.relative_position_index(window_size)
    bias = pooled_empty((table.shape[1], *index.shape), table.dtype)
    run_parallel(_read_table, len(bias), 0, table.dtype, flat(table), flat(index), bias.reshape(-1))
    return bias, (index, table)


def position_bias_backward(dbias: Array, cache: Any) -> Array:
    """See `npswin.ops.position_bias_backward`."""
    index, table = cache
    if index is None:
        return definition.position_bias_backward(dbias, cache)
    heads, dtable = table.shape[1], pooled_empty(table.shape, table.dtype)
    run_parallel(_add_to_table, heads, 0, table.dtype, flat(dbias), flat(index), dtable.reshape(-1))
    return dtable
