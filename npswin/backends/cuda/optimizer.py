"""What an optimizer does to all parameters at once; the mathematics is in `npswin.ops.optimizer`."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from npswin.backends.cuda.launch import blocks, launch, sum_dtype
from npswin.devices import cupy


def _starts(arrays: Sequence[Any]) -> Any:
    """Where each array begins if all lie in a row, and where the last one ends."""
    return cupy().asarray(np.cumsum([0, *(array.size for array in arrays)], dtype=np.int64))


def _places(arrays: Iterable[Any]) -> Any:
    return cupy().asarray(np.array([array.data.ptr for array in arrays], np.uint64))


def adamw_update_all(
    params: Sequence[Any],
    grads: Sequence[Any],
    ms: Sequence[Any],
    vs: Sequence[Any],
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decays: Sequence[float],
    step: int,
) -> None:
    """See `npswin.ops.adamw_update_all`."""
    for columns in zip(params, grads, ms, vs, weight_decays, strict=True):
        shapes = {array.shape for array in columns[:4]}
        if len(shapes) != 1 or not all(array.flags.c_contiguous for array in columns[:4]):
            raise ValueError(f"arrays of shapes {sorted(shapes)}: expected θ, g, m and v of one shape, contiguous")
    sums = sum_dtype(params[0].dtype)
    keeps = cupy().asarray(np.array([1 - lr * weight_decay for weight_decay in weight_decays], sums))
    step_size, root_scale = lr / (1 - beta1**step), 1 / math.sqrt(1 - beta2**step)
    factors = map(sums.type, (1 - beta1, beta2, 1 - beta2, step_size, root_scale, eps))
    args = _places([*params, *grads, *ms, *vs]), _starts(params), keeps, len(params), *factors
    launch("optimizer", "adamw", grads[0].dtype, blocks(sum(param.size for param in params)), args)


def adamw_update(
    param: Any,
    grad: Any,
    m: Any,
    v: Any,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    step: int,
) -> None:
    """See `npswin.ops.adamw_update`."""
    adamw_update_all([param], [grad], [m], [v], lr, beta1, beta2, eps, [weight_decay], step)


def global_norm(grads: Iterable[Any]) -> float:
    """See `npswin.ops.global_norm`."""
    total, grads = 0.0, list(grads)
    for dtype in {grad.dtype for grad in grads}:
        alike = [cupy().ascontiguousarray(grad) for grad in grads if grad.dtype == dtype]
        grid = blocks(sum(grad.size for grad in alike))
        sums = cupy().empty(grid[0], np.float64)
        launch("sums", "square_sums", dtype, grid, (_places(alike), _starts(alike), len(alike), sums))
        total += float(sums.sum())
    return math.sqrt(total)
