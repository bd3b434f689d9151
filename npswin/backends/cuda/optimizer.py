"""What an optimizer does to all parameters at once; the mathematics is in `npswin.ops.optimizer`.

Addresses are copied to the GPU when they have changed. From step to step they rarely do, since the memory pool reuses
memory in the same order. Rates, decays and the number of the step may be on the GPU, so that a
recorded step can be given new ones.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from npswin.backends.cuda.runtime.constants import constant
from npswin.backends.cuda.runtime.launch import blocks, launch, sum_dtype
from npswin.devices import cupy, on_gpu, to_gpu


def _row(values: tuple[float, ...], dtype: str) -> Any:
    return np.array(values, dtype)


def _number(value: Any, dtype: Any) -> Any:
    """The number where kernels read it."""
    return value.astype(dtype, copy=False) if on_gpu(value) else to_gpu(np.array(value, dtype))


def _starts(arrays: Sequence[Any]) -> Any:
    """Where each array begins if all lie in a row, and where the last one ends."""
    return constant(_row, (0, *np.cumsum([array.size for array in arrays]).tolist()), "int64")


def _places(*columns: Sequence[Any]) -> Any:
    """The addresses of all arrays, a column after the other.

    Raises:
        ValueError: arrays of several dtypes, or one that is not contiguous.
    """
    arrays = [array for column in columns for array in column]
    dtypes = sorted({array.dtype.name for array in arrays})
    if len(dtypes) > 1 or not all(array.flags.c_contiguous for array in arrays):
        raise ValueError(f"got arrays of {' and '.join(dtypes)}, expected contiguous ones of one dtype")
    return constant(_row, tuple(array.data.ptr for array in arrays), "uint64")


def adamw_update_all(
    params: Sequence[Any],
    grads: Sequence[Any],
    ms: Sequence[Any],
    vs: Sequence[Any],
    lr: Any,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decays: Sequence[float],
    step: Any,
    grad_scale: Any = 1.0,
) -> None:
    """See `npswin.ops.adamw_update_all`."""
    if not params:
        return
    dtype = params[0].dtype
    args = (
        *(_places(params, grads, ms, vs), _starts(params), constant(_row, tuple(weight_decays), dtype.name)),
        *(len(params), _number(lr, dtype), _number(step, dtype), beta1, beta2, eps, _number(grad_scale, dtype)),
    )
    launch("optimizer", "adamw", dtype, blocks(sum(param.size for param in params)), args)


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


def sgd_update_all(
    params: Sequence[Any],
    grads: Sequence[Any],
    velocities: Sequence[Any],
    lr: Any,
    momentum: float,
    weight_decays: Sequence[float],
    grad_scale: Any = 1.0,
) -> None:
    """See `npswin.ops.sgd_update_all`."""
    if not params:
        return
    dtype = params[0].dtype
    args = (
        *(_places(params, grads, velocities), _starts(params), constant(_row, tuple(weight_decays), dtype.name)),
        *(len(params), _number(lr, dtype), momentum, _number(grad_scale, dtype)),
    )
    launch("optimizer", "sgd", dtype, blocks(sum(param.size for param in params)), args)


def sgd_update(param: Any, grad: Any, velocity: Any, lr: float, momentum: float, weight_decay: float) -> None:
    """See `npswin.ops.sgd_update`."""
    sgd_update_all([param], [grad], [velocity], lr, momentum, [weight_decay])


def ema_update_all(averages: Sequence[Any], params: Sequence[Any], decay: Any) -> None:
    """See `npswin.ops.ema_update_all`."""
    if not params:
        return
    dtype = params[0].dtype
    args = _places(averages, params), _starts(params), len(params), _number(decay, dtype)
    launch("optimizer", "ema", dtype, blocks(sum(param.size for param in params)), args)


def ema_update(average: Any, param: Any, decay: float) -> None:
    """See `npswin.ops.ema_update`."""
    ema_update_all([average], [param], decay)


def global_norm(grads: Iterable[Any]) -> Any:
    """See `npswin.ops.global_norm`; an array without axes, in the dtype of sums of the first of them, on the GPU."""
    grads = [cupy().ascontiguousarray(grad) for grad in grads]
    if not grads:
        return 0.0
    total: Any = 0.0
    for dtype in sorted({grad.dtype for grad in grads}, key=str):
        alike = [grad for grad in grads if grad.dtype == dtype]
        grid = blocks(sum(grad.size for grad in alike))
        sums = cupy().empty(grid[0], np.float64)
        launch("sums", "square_sums", dtype, grid, (_places(alike), _starts(alike), len(alike), sums))
        total = total + sums.sum()
    return np.sqrt(total).astype(sum_dtype(grads[0].dtype))
