"""`dropout`, and the mask that it multiplies by."""

from typing import Any

import numpy as np

from npswin.backends.cpu.machine.arrays import BLOCK, block_count, flat
from npswin.backends.cpu.machine.compilation import kernel
from npswin.backends.cpu.machine.flat_array import view
from npswin.backends.cpu.machine.memory import pooled_empty
from npswin.backends.cpu.machine.threads import run_parallel
from npswin.ops import dropout as definition
from npswin.types import Array


@kernel
def _draw(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    uniform: Array,
    keep_probability: float,
    factor: float,
    mask: Array,
) -> None:
    number = mask.dtype.type
    count = min(stop * BLOCK, mask.size) - first * BLOCK
    source, out = view(uniform, first * BLOCK, count), view(mask, first * BLOCK, count)
    for i in range(count):
        out[i] = factor if source[i] < keep_probability else number(0)


def draw_mask(rng: np.random.Generator, shape: tuple[int, ...], rate: float, dtype: Any) -> Array:
    """See `npswin.ops.draw_mask`; the generator's numbers are NumPy's, one after the other."""
    if np.dtype(dtype) not in (np.float32, np.float64):
        return definition.draw_mask(rng, shape, rate, dtype)
    mask = pooled_empty(shape, dtype)
    uniform, keep_probability, number = rng.random(shape), 1 - rate, mask.dtype.type
    run_parallel(
        *(_draw, block_count(mask), 0, mask.dtype),
        *(uniform.reshape(-1), float(keep_probability), number(1) / number(keep_probability), mask.reshape(-1)),
    )
    return mask


@kernel
def _multiply(first: int, stop: int, part: int, scratch: Array, x: Array, mask: Array, y: Array) -> None:
    count = min(stop * BLOCK, x.size) - first * BLOCK
    source, factor = view(x, first * BLOCK, count), view(mask, first * BLOCK, count)
    out = view(y, first * BLOCK, count)
    for i in range(count):
        out[i] = source[i] * factor[i]


def _multiplied(x: Array, mask: Array | None) -> Array:
    """x · mask, or x itself where there is no mask."""
    if mask is None:
        return x
    y = pooled_empty(x.shape, x.dtype)
    run_parallel(_multiply, block_count(x), 0, x.dtype, flat(x), flat(mask), y.reshape(-1))
    return y


def dropout_forward(x: Array, mask: Array | None) -> tuple[Array, Any]:
    """See `npswin.ops.dropout_forward`."""
    return _multiplied(x, mask), mask


def dropout_backward(dy: Array, cache: Any) -> Array:
    """See `npswin.ops.dropout_backward`."""
    return _multiplied(dy, cache)
