"""Arrays as kernels take them."""

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


def check_dtypes(x: Array, *parameters: Array | None) -> None:
    """Raise a ValueError unless all are in x's dtype, and that is float32 or float64."""
    dtype = x.dtype
    if dtype not in (np.float32, np.float64) or any(array is not None and array.dtype != dtype for array in parameters):
        names = {array.dtype.name for array in (x, *parameters) if array is not None}
        raise ValueError(f"got arrays of {', '.join(sorted(names))}, expected all in float32 or all in float64")


def flat(array: Array) -> Array:
    """One axis, contiguous, as kernels take it; a copy only where it has to be. For what is only read."""
    flags = array.flags
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    elif not flags.carray:  # contiguous, aligned and writeable
        array = np.require(array, requirements=("C", "A"))
        if not flags.writeable:
            array = np.asarray(_Writable(array))
    return array.reshape(-1)


def checked_flat_dy(dy: Array, size: int, dtype: Any) -> Array:
    """`flat(dy)` of the argument of an op's backward function, checked.

    Raises:
        ValueError: it is not of y's size and dtype; a kernel would read out of bounds or misinterpret the bytes.
    """
    if dy.size != size or dy.dtype != dtype:
        raise ValueError(f"dy: got {dy.size} elements of {dy.dtype}, expected {size} of {dtype}, as y has")
    return flat(dy)


def flat_or_full(array: Array | None, length: int, like: Array, fill: float = 0.0) -> Array:
    """`flat(array)`, or `length` times the same number where there is no array.

    Raises:
        ValueError: it has another length; a kernel would read out of bounds.
    """
    if array is None:
        return np.full(length, fill, like.dtype)
    if array.size != length:
        raise ValueError(f"a vector of {length} elements was expected, got shape {array.shape}")
    return flat(array)


def flat_or_empty(array: Array | None, like: Array) -> Array:
    """`flat(array)`, or an empty array where there is none: kernels test for size 0."""
    return np.empty(0, like.dtype) if array is None else flat(array)


def flat_norm_parameters(
    norm: tuple[Array | None, Array | None] | None, channels: int, like: Array
) -> tuple[Array, Array]:
    """γ and β of a norm as kernels take them: empty where there is no norm."""
    weight, bias = norm or (None, None)
    if weight is None or bias is None:
        none = np.empty(0, like.dtype)
        return none, none
    return flat_or_full(weight, channels, like), flat_or_full(bias, channels, like)


def have_one_float_dtype(*arrays: Array | None) -> bool:
    """Whether kernels that compute take these: all in one dtype, float32 or float64. None is skipped."""
    dtypes = {array.dtype for array in arrays if array is not None}
    return len(dtypes) == 1 and dtypes <= {np.dtype(np.float32), np.dtype(np.float64)}
