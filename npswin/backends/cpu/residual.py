"""`residual`: a shortcut plus a branch, with one factor an image on the branch."""

from typing import Any

from npswin import ops
from npswin.backends.cpu.machine.arrays import BLOCK, block_count, flat, flat_or_full, have_one_float_dtype
from npswin.backends.cpu.machine.compilation import kernel
from npswin.backends.cpu.machine.flat_array import view
from npswin.backends.cpu.machine.memory import pooled_empty
from npswin.backends.cpu.machine.threads import run_parallel
from npswin.types import Array


def _blocks(x: Array) -> int:
    """Blocks of numbers, beginning anew with each image."""
    return len(x) * block_count(x[:1])


@kernel
def _add(
    first: int, stop: int, part: int, scratch: Array, shortcut: Array, branch: Array, scales: Array, y: Array
) -> None:
    size = y.size // scales.size
    for number in range(first, stop):
        image, block = divmod(number, -(-size // BLOCK))
        start, count, scale = image * size + block * BLOCK, min(BLOCK, size - block * BLOCK), scales[image]
        base, added, out = view(shortcut, start, count), view(branch, start, count), view(y, start, count)
        for i in range(count):
            out[i] = base[i] + scale * added[i]


@kernel
def _scale(first: int, stop: int, part: int, scratch: Array, dy: Array, scales: Array, dbranch: Array) -> None:
    size = dy.size // scales.size
    for number in range(first, stop):
        image, block = divmod(number, -(-size // BLOCK))
        start, count, scale = image * size + block * BLOCK, min(BLOCK, size - block * BLOCK), scales[image]
        dy_block, out = view(dy, start, count), view(dbranch, start, count)
        for i in range(count):
            out[i] = scale * dy_block[i]


def residual_forward(shortcut: Array, branch: Array, path_scale: Array | None = None) -> tuple[Array, Any]:
    """See `npswin.ops.residual_forward`."""
    one_each = path_scale is None or path_scale.shape == branch.shape[:1]
    if shortcut.shape != branch.shape or not one_each or not have_one_float_dtype(shortcut, branch, path_scale):
        return ops.residual_forward(shortcut, branch, path_scale)
    scales, y = flat_or_full(path_scale, len(branch), branch, 1.0), pooled_empty(branch.shape, branch.dtype)
    run_parallel(_add, _blocks(branch), 0, branch.dtype, flat(shortcut), flat(branch), scales, y.reshape(-1))
    return y, None if path_scale is None else path_scale.reshape(-1, *[1] * (branch.ndim - 1))


def residual_backward(dy: Array, cache: Any) -> tuple[Array, Array]:
    """See `npswin.ops.residual_backward`."""
    scale = cache
    if scale is None or len(scale) != len(dy) or not have_one_float_dtype(dy, scale):
        return ops.residual_backward(dy, cache)
    dbranch = pooled_empty(dy.shape, dy.dtype)
    run_parallel(_scale, _blocks(dy), 0, dy.dtype, flat(dy), flat(scale), dbranch.reshape(-1))
    return dy, dbranch
