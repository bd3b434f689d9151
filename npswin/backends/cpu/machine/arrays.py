"""Arrays as kernels take them."""

from functools import lru_cache
from typing import Any

import numpy as np

from npswin.types import Array

BLOCK = 1 << 14  # elements per piece of work of an elementwise op


def block_count(x: Array) -> int:
    """How many blocks an array is cut into."""
    return -(-x.size // BLOCK)


class _Writable:
    """A read-only array's memory without the mark, which would make it another type of argument for `run_parallel`."""

    def __init__(self, array: Array) -> None:
        self.array = array
        self.__array_interface__ = {**array.__array_interface__, "data": (array.ctypes.data, False)}


def flat(array: Array) -> Array:
    """One axis, contiguous, as kernels take it; a copy only where it has to be. For what is only read."""
    flags = array.flags
    if not flags.carray:  # contiguous, aligned and writeable
        array = np.require(array, requirements=("C", "A"))
        if not flags.writeable:
            array = np.asarray(_Writable(array))
    return array.reshape(-1)


@lru_cache(maxsize=256)
def _constant(length: int, fill: float, dtype: Any) -> Array:
    """`length` times the same number; for what is only read, like all that `flat` returns."""
    return np.full(length, fill, dtype)


def flat_or_full(array: Array | None, length: int, like: Array, fill: float = 0.0) -> Array:
    """`flat(array)`, or `length` times the same number where there is no array."""
    return _constant(length, fill, like.dtype) if array is None else flat(array)


def flat_or_empty(array: Array | None, like: Array) -> Array:
    """`flat(array)`, or an empty array where there is none: kernels test for size 0."""
    return _constant(0, 0.0, like.dtype) if array is None else flat(array)


def flat_norm_parameters(norm: tuple[Array, Array] | None, like: Array) -> tuple[Array, Array]:
    """γ and β of a norm as kernels take them: empty where there is no norm."""
    weight, bias = norm or (None, None)
    return flat_or_empty(weight, like), flat_or_empty(bias, like)
