"""Numbers in bfloat16 by NumPy, as the tests of the cpu backend's products expect them."""

import numpy as np
import pytest

from npswin.backends.cpu.machine.amx import why_tiles_are_refused
from npswin.backends.cpu.machine.processor import HAS_BFLOAT16_TILES, HAS_BFLOAT16_VECTORS

needs_vectors = pytest.mark.skipif(not HAS_BFLOAT16_VECTORS, reason="the processor has no AVX512-BF16")
needs_tiles = pytest.mark.skipif(
    not HAS_BFLOAT16_TILES or why_tiles_are_refused() is not None, reason="there are no tiles (AMX-BF16)"
)


def rounded(x):
    """The bits of float32 numbers rounded to bfloat16: to the nearest, ties to even; subnormal ones to 0."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    nearest = (bits.astype(np.uint64) + 0x7FFF + (bits >> 16 & 1) >> 16).astype(np.uint16)
    upper = (bits >> 16).astype(np.uint16)
    exponent = bits & 0x7F800000
    return np.where(np.isnan(x), upper | 0x40, np.where(exponent == 0, upper & 0x8000, nearest)).astype(np.uint16)


def numbers(bits):
    """bfloat16 as float32."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def as_rows(bits):
    """(rows, k) bits as (rows, ⌈k / 2⌉) pairs: two neighbours in a row are one."""
    even = np.pad(bits, ((0, 0), (0, bits.shape[1] % 2)))
    return (even[:, 0::2] | even[:, 1::2].astype(np.uint32) << 16).view(np.int32)


def as_pair_rows(bits):
    """(k, columns) bits as (⌈k / 2⌉, columns) pairs: two neighbours in a column are one."""
    return np.ascontiguousarray(as_rows(np.ascontiguousarray(bits.T)).T)


class Flat:
    """A matrix of 32-bit elements in a flat array, with something else around it.

    Args:
        matrix: copied.
        offset: elements before it.
        gap: elements between two rows.
        fill: what is around it.
    """

    def __init__(self, matrix, offset, gap, fill):
        self.offset, self.row = offset, matrix.shape[1] + gap
        self.array = np.full(offset + matrix.shape[0] * self.row + 67, fill, matrix.dtype)
        self.matrix = np.lib.stride_tricks.as_strided(self.array[offset:], matrix.shape, (4 * self.row, 4))
        self.matrix[...] = matrix

    @property
    def place(self):
        """As kernels take it."""
        return self.array, self.offset, self.row
