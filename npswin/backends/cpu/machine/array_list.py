"""Many arrays in one job: a model's parameters are a hundred arrays, most of them too small to be worth a call.

A kernel gets a table of addresses and a list of pieces; a piece is a run of numbers in one of the arrays.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from npswin.types import Array

PIECE = 1 << 15  # numbers


@intrinsic
def numbers_at(typingctx: Any, address: Any, start: Any, count: Any, like: Any) -> Any:
    """The numbers start … start + count of a contiguous array at an address, with the dtype of the array `like`."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = context.make_array(signature.return_type)(context, builder)
        number = context.get_data_type(like.dtype)
        itemsize = context.get_constant(types.intp, like.dtype.bitwidth // 8)
        data = builder.gep(builder.inttoptr(args[0], number.as_pointer()), [args[1]])
        populate_array(array, data=data, shape=[args[2]], strides=[itemsize], itemsize=itemsize, meminfo=None)
        return array._getvalue()

    return types.Array(like.dtype, 1, "C")(address, types.intp, types.intp, like), codegen


def addresses_of(arrays: Sequence[Array]) -> Array:
    """The address of each of some contiguous arrays, which must stay alive."""
    return np.array([array.__array_interface__["data"][0] for array in arrays], np.int64)


@lru_cache(maxsize=16)
def pieces(sizes: tuple[int, ...]) -> Array:
    """Arrays of these sizes, cut up.

    Returns:
        (pieces·3,): for each piece the array it belongs to, where in it it starts, and how many numbers it has.
    """
    rows = [
        (place, start, min(PIECE, size - start)) for place, size in enumerate(sizes) for start in range(0, size, PIECE)
    ]
    return np.array(rows, np.int64).reshape(-1)
