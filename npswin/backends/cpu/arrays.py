"""Arrays as kernels take them."""

import numpy as np

from npswin.types import Array


def flat(array: Array) -> Array:
    """One axis, contiguous; a copy only where it has to be."""
    return np.ascontiguousarray(array).reshape(-1)


def flat_or(array: Array | None, length: int, like: Array, fill: float = 0.0) -> Array:
    """`flat(array)`, or `length` times the same number where there is no array."""
    return np.full(length, fill, like.dtype) if array is None else flat(array)


def flat_or_none(array: Array | None, like: Array) -> Array:
    """`flat(array)`, or an empty array where there is none: kernels know by its size."""
    return flat_or(array, 0, like)
