"""Losses that are a weighted sum: a kernel computes the terms, CuPy adds them up, another kernel the derivatives."""

from typing import Any, NamedTuple

from npswin.backends.cuda.runtime.launch import blocks, launch, sum_dtype
from npswin.devices import cupy, to_gpu


class Terms(NamedTuple):
    """What a loss is computed from: targets and weights in the dtype of sums, weights or None."""

    x: Any
    targets: Any
    weights: Any


def in_sums(array: Any, dtype: Any) -> Any:
    """An array, or None, as kernels for maps of the dtype read it."""
    return None if array is None else cupy().ascontiguousarray(array.astype(sum_dtype(dtype), copy=False))


def weighted_sum(
    name: str, x: Any, targets: Any, weights: Any, divisor: float | None, *args: Any, entries: int = 1
) -> tuple[Any, Any]:
    """The loss, which stays on the GPU, and the cache for `derivatives`.

    Args:
        name: of the op.
        x, targets, weights, divisor: of the op.
        *args: further arguments of its kernels.
        entries: of x for a term.
    """
    cp, size = cupy(), x.size // entries
    terms = Terms(cp.ascontiguousarray(x), in_sums(targets, x.dtype), in_sums(weights, x.dtype))
    losses = cp.empty(size, sum_dtype(x.dtype))
    launch("box_losses", f"{name}_forward", x.dtype, blocks(size), (*terms, losses, size, *args))
    divisor = max(size, 1) if divisor is None else divisor
    return losses.sum() / divisor, (terms, divisor, size, args)


def derivatives(name: str, dloss: Any, cache: Any) -> Any:
    """dx of x's shape."""
    terms, divisor, size, args = cache
    dx = cupy().empty(terms.x.shape, terms.x.dtype)
    factor = to_gpu(dloss).astype(sum_dtype(dx.dtype)) / divisor
    launch("box_losses", f"{name}_backward", dx.dtype, blocks(size), (*terms, factor, dx, size, *args))
    return dx
