"""Losses that are a weighted sum over the entries of an array: its blocks are added up apart, and then in order."""

from typing import Any, NamedTuple

import numpy as np

from npswin.backends.cpu.machine.arrays import block_count, flat, flat_or_empty
from npswin.backends.cpu.machine.memory import pooled_empty
from npswin.backends.cpu.machine.threads import run_parallel
from npswin.types import Array


class Terms(NamedTuple):
    """What a loss is computed from, as kernels take it; `weights` is empty where there are none."""

    x: Array
    targets: Array
    weights: Array


def weighted_sum(
    kernel: Any, x: Array, targets: Array, weights: Array | None, divisor: float | None, *args: Any
) -> tuple[Any, Any]:
    """The loss and the cache for `derivatives`.

    Args:
        kernel: adds up the terms of blocks, each into an entry of its last argument.
        x, targets, weights, divisor: of the op.
        *args: further arguments of the kernel.
    """
    terms = Terms(flat(x), flat(targets), flat_or_empty(weights, x))
    sums = np.empty(block_count(x), x.dtype)
    run_parallel(kernel, block_count(x), 0, x.dtype, terms, *args, sums)
    divisor = max(x.size, 1) if divisor is None else divisor
    return sums.sum() / divisor, (terms, divisor, x.shape, x.dtype)


def derivatives(kernel: Any, dloss: Any, cache: Any, *args: Any) -> Array:
    """dx, by a kernel that writes those of blocks, times a factor, into its last argument."""
    terms, divisor, shape, dtype = cache
    dx = pooled_empty(shape, dtype)
    factor = dtype.type(dtype.type(dloss) / divisor)
    run_parallel(kernel, block_count(dx), 0, dtype, terms, *args, factor, dx.reshape(-1))
    return dx
