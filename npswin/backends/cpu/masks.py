"""What is dropped at random: the mask, and the two words that multiply by one, dropout and the residual connection."""

from typing import Any

import numpy as np

from npswin import ops
from npswin.backends.cpu.arrays import BLOCK, are_floats, block_count, flat, flat_or
from npswin.backends.cpu.jit import kernel, view
from npswin.backends.cpu.memory import empty
from npswin.backends.cpu.threads import run_parallel
from npswin.types import Array


@kernel
def _draw(
    first: int, stop: int, part: int, scratch: Array, uniform: Array, keep: float, factor: float, mask: Array
) -> None:
    number = mask.dtype.type
    count = min(stop * BLOCK, mask.size) - first * BLOCK
    source, out = view(uniform, first * BLOCK, count), view(mask, first * BLOCK, count)
    for i in range(count):
        out[i] = factor if source[i] < keep else number(0)


def draw_mask(rng: np.random.Generator, shape: tuple[int, ...], rate: float, dtype: Any) -> Array:
    """See `npswin.ops.draw_mask`; the generator's numbers are NumPy's, one after the other."""
    mask = empty(shape, dtype)
    if not are_floats(mask):
        return ops.draw_mask(rng, shape, rate, dtype)
    uniform, keep, number = rng.random(shape), 1 - rate, mask.dtype.type
    run_parallel(
        *(_draw, block_count(mask), 0, mask.dtype),
        *(uniform.reshape(-1), float(keep), number(1) / number(keep), mask.reshape(-1)),
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
    if x.shape != mask.shape or not are_floats(x, mask):
        return x * mask
    y = empty(x.shape, x.dtype)
    run_parallel(_multiply, block_count(x), 0, x.dtype, flat(x), flat(mask), y.reshape(-1))
    return y


def dropout_forward(x: Array, mask: Array | None) -> tuple[Array, Any]:
    """See `npswin.ops.dropout_forward`."""
    return _multiplied(x, mask), mask


def dropout_backward(dy: Array, cache: Any) -> Array:
    """See `npswin.ops.dropout_backward`."""
    return _multiplied(dy, cache)


def _pieces(x: Array) -> int:
    """Blocks of numbers, beginning anew with each image."""
    return len(x) * block_count(x[:1])


@kernel
def _add(
    first: int, stop: int, part: int, scratch: Array, shortcut: Array, branch: Array, scales: Array, y: Array
) -> None:
    size = y.size // scales.size
    for piece in range(first, stop):
        image, block = divmod(piece, -(-size // BLOCK))
        start, count, scale = image * size + block * BLOCK, min(BLOCK, size - block * BLOCK), scales[image]
        base, added, out = view(shortcut, start, count), view(branch, start, count), view(y, start, count)
        for i in range(count):
            out[i] = base[i] + scale * added[i]


@kernel
def _scale(first: int, stop: int, part: int, scratch: Array, dy: Array, scales: Array, dbranch: Array) -> None:
    size = dy.size // scales.size
    for piece in range(first, stop):
        image, block = divmod(piece, -(-size // BLOCK))
        start, count, scale = image * size + block * BLOCK, min(BLOCK, size - block * BLOCK), scales[image]
        up, out = view(dy, start, count), view(dbranch, start, count)
        for i in range(count):
            out[i] = scale * up[i]


def residual_forward(shortcut: Array, branch: Array, path_scale: Array | None = None) -> tuple[Array, Any]:
    """See `npswin.ops.residual_forward`."""
    one_each = path_scale is None or path_scale.shape == branch.shape[:1]
    if shortcut.shape != branch.shape or not one_each or not are_floats(shortcut, branch, path_scale):
        return ops.residual_forward(shortcut, branch, path_scale)
    scales, y = flat_or(path_scale, len(branch), branch, 1.0), empty(branch.shape, branch.dtype)
    run_parallel(_add, _pieces(branch), 0, branch.dtype, flat(shortcut), flat(branch), scales, y.reshape(-1))
    return y, None if path_scale is None else path_scale.reshape(-1, *[1] * (branch.ndim - 1))


def residual_backward(dy: Array, cache: Any) -> tuple[Array, Array]:
    """See `npswin.ops.residual_backward`."""
    scale = cache
    if scale is None or len(scale) != len(dy) or not are_floats(dy, scale):
        return ops.residual_backward(dy, cache)
    dbranch = empty(dy.shape, dy.dtype)
    run_parallel(_scale, _pieces(dy), 0, dy.dtype, flat(dy), flat(scale), dbranch.reshape(-1))
    return dy, dbranch
