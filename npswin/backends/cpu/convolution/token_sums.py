"""Sums over all tokens of a map: the derivative by a bias."""

import numpy as np

from npswin.backends.cpu.machine.arrays import flat
from npswin.backends.cpu.machine.compilation import kernel
from npswin.backends.cpu.machine.flat_array import view
from npswin.backends.cpu.machine.threads import run_parallel
from npswin.types import Array

TOKENS = 512  # of a piece of work


@kernel
def _sum(first: int, stop: int, part: int, scratch: Array, x: Array, channels: int, sums: Array) -> None:
    """first, stop: pieces of TOKENS tokens; each has a row of `sums`."""
    tokens = x.size // channels
    for piece in range(first, stop):
        total = view(sums, piece * channels, channels)
        for token in range(piece * TOKENS, min(tokens, (piece + 1) * TOKENS)):
            row = view(x, token * channels, channels)
            for c in range(channels):
                total[c] += row[c]


def sum_of_tokens(x: Array) -> Array:
    """Σ x over all axes but the last one."""
    channels = x.shape[-1]
    pieces = -(-x.size // (channels * TOKENS))
    sums = np.zeros((pieces, channels), x.dtype)
    run_parallel(_sum, pieces, 1, x.dtype, flat(x), channels, sums.reshape(-1))
    return sums.sum(axis=0)
