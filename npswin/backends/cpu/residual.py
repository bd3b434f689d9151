"""`residual`: a shortcut plus a branch, with one factor an image on the branch."""

from typing import Any

from npswin.backends.cpu.machine.arrays import BLOCK, block_count, flat, flat_or_full
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
    scales, y = flat_or_full(path_scale, len(branch), branch, 1.0), pooled_empty(branch.shape, branch.dtype)
    run_parallel(_add, _blocks(branch), 0, branch.dtype, flat(shortcut), flat(branch), scales, y.reshape(-1))
    return y, None if path_scale is None else path_scale.reshape(-1, *[1] * (branch.ndim - 1))


def residual_backward(dy: Array, cache: Any) -> tuple[Array, Array]:
    """See `npswin.ops.residual_backward`."""
    scale = cache
    if scale is None:
        return dy, dy
    dbranch = pooled_empty(dy.shape, dy.dtype)
    run_parallel(_scale, _blocks(dy), 0, dy.dtype, flat(dy), flat(scale), dbranch.reshape(-1))
    return dy, dbranch
