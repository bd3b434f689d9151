"""Tokens moved by a table, each token's channels as one run: windows cut and joined, 2×2 groups put side by side.

The table holds for every token of the result its number in the same image, or −1 for one in the padding. The transpose
has the inverse table. Bytes are moved, so that one kernel is enough for every dtype.
"""

import numpy as np

from npswin.backends.cpu.machine.arrays import flat
from npswin.backends.cpu.machine.compilation import kernel
from npswin.backends.cpu.machine.flat_array import fill, view
from npswin.backends.cpu.machine.memory import pooled_empty
from npswin.backends.cpu.machine.threads import run_parallel
from npswin.types import Array


@kernel
def _gather(
    first: int, stop: int, part: int, scratch: Array, x: Array, table: Array, image_bytes: int, run: int, y: Array
) -> None:
    for token in range(first, stop):
        image, row = divmod(token, table.size)
        out = view(y, token * run, run)
        if table[row] < 0:
            fill(out, 0)
        else:
            source = view(x, image * image_bytes + table[row] * run, run)
            for i in range(run):
                out[i] = source[i]


def gather_tokens(x: Array, table: Array, tokens: int, channels: int) -> Array:
    """y[b][i] = x[b][table[i]], or zeros where the table has −1.

    Args:
        x: (B, tokens, channels), in whatever shape.
        table: (T,).
        tokens: of an image.
        channels: numbers of a token.

    Returns:
        (B, T, channels).
    """
    images = flat(x).reshape(-1, tokens, channels)
    y = pooled_empty((len(images), len(table), channels), x.dtype)
    run = channels * x.itemsize
    run_parallel(
        *(_gather, len(images) * len(table), 0, np.uint8),
        *(images.reshape(-1).view(np.uint8), table, tokens * run, run, y.reshape(-1).view(np.uint8)),
    )
    return y


def inverse_table(table: Array, tokens: int) -> Array:
    """Where each of the tokens is in the result of `gather_tokens`."""
    positions = np.empty(tokens, table.dtype)
    moved = np.flatnonzero(table >= 0)
    positions[table[moved]] = moved
    return positions
