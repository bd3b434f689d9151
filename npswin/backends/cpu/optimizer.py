"""Updates of parameters, their average and the global norm, in one pass over all arrays."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from npswin.backends.cpu.machine.array_list import PIECE, addresses_of, pieces
from npswin.backends.cpu.machine.arrays import flat
from npswin.backends.cpu.machine.compilation import kernel
from npswin.backends.cpu.machine.flat_array import elements_at, view
from npswin.backends.cpu.machine.threads import run_parallel
from npswin.ops import optimizer as definition
from npswin.types import Array


def _in_place(*updated: Sequence[Array]) -> bool:
    """Whether a kernel can write to these arrays as flat ones of one dtype; others are left to the definition."""
    dtypes = {array.dtype for array in updated[0]}
    return len(dtypes) == 1 and all(array.flags.carray for arrays in updated for array in arrays)


class _AdamWFactors(NamedTuple):
    """What an update multiplies by, in the parameters' dtype.

    Attributes:
        one_minus_beta1: 1 − β₁.
        beta2: β₂.
        one_minus_beta2: 1 − β₂.
        step_size: η / (1 − β₁ᵗ).
        root_scale: 1 / √(1 − β₂ᵗ).
        eps: ε.
        grad_scale: of the gradients.
    """

    one_minus_beta1: Any
    beta2: Any
    one_minus_beta2: Any
    step_size: Any
    root_scale: Any
    eps: Any
    grad_scale: Any


@kernel
def _adamw(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    pieces: Array,
    addresses: Array,
    tensors: int,
    decay_factors: Array,
    factors: _AdamWFactors,
) -> None:
    """`addresses` are those of all parameters, then gradients, m, v; `decay_factors` is 1 − ηλ for each."""
    one_minus_beta1, beta2, one_minus_beta2, step_size, root_scale, eps, grad_scale = factors
    for piece in range(first, stop):
        tensor, start, count = pieces[3 * piece], pieces[3 * piece + 1], pieces[3 * piece + 2]
        theta = elements_at(addresses[tensor], start, count, decay_factors)
        g = elements_at(addresses[tensors + tensor], start, count, decay_factors)
        m = elements_at(addresses[2 * tensors + tensor], start, count, decay_factors)
        v = elements_at(addresses[3 * tensors + tensor], start, count, decay_factors)
        decay_factor = decay_factors[tensor]
        for i in range(count):
            scaled = grad_scale * g[i]
            m[i] += one_minus_beta1 * (scaled - m[i])
            v[i] = beta2 * v[i] + one_minus_beta2 * scaled * scaled
            theta[i] = decay_factor * theta[i] - step_size * m[i] / (np.sqrt(v[i]) * root_scale + eps)


def adamw_update(
    param: Array,
    grad: Array,
    m: Array,
    v: Array,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    step: int,
) -> None:
    """See `npswin.ops.adamw_update`."""
    adamw_update_all([param], [grad], [m], [v], lr, beta1, beta2, eps, [weight_decay], step)


def adamw_update_all(
    params: Sequence[Array],
    grads: Sequence[Array],
    ms: Sequence[Array],
    vs: Sequence[Array],
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decays: Sequence[float],
    step: int,
    grad_scale: float = 1.0,
) -> None:
    """See `npswin.ops.adamw_update_all`."""
    if not math.isfinite(grad_scale):
        return None
    if not _in_place(params, ms, vs):
        return definition.adamw_update_all(
            params, grads, ms, vs, lr, beta1, beta2, eps, weight_decays, step, grad_scale
        )
    dtype = params[0].dtype
    step_size, root_scale = lr / (1 - beta1**step), 1 / math.sqrt(1 - beta2**step)
    factors = 1 - beta1, beta2, 1 - beta2, step_size, root_scale, eps, grad_scale
    read = [flat(grad) for grad in grads]
    work, tensors = pieces(tuple(param.size for param in params)), addresses_of([*params, *read, *ms, *vs])
    decay_factors = np.array([1 - lr * weight_decay for weight_decay in weight_decays], dtype)
    run_parallel(
        *(_adamw, len(work) // 3, 0, dtype),
        *(work, tensors, len(params), decay_factors, _AdamWFactors(*map(dtype.type, factors))),
    )
    return None


@kernel
def _sgd(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    param: Array,
    grad: Array,
    velocity: Array,
    factors: tuple[float, ...],
) -> None:
    start, count = first * PIECE, min(stop * PIECE, param.size) - first * PIECE
    theta, g, u = view(param, start, count), view(grad, start, count), view(velocity, start, count)
    lr, momentum, weight_decay = factors
    for i in range(count):
        decay = weight_decay * theta[i] if weight_decay != 0 else weight_decay  # 0 · inf would be NaN
        u[i] = momentum * u[i] + g[i] + decay
        theta[i] -= lr * u[i]


def sgd_update(param: Array, grad: Array, velocity: Array, lr: float, momentum: float, weight_decay: float) -> None:
    """See `npswin.ops.sgd_update`."""
    if not _in_place([param], [velocity]):
        return definition.sgd_update(param, grad, velocity, lr, momentum, weight_decay)
    factors = tuple(map(param.dtype.type, (lr, momentum, weight_decay)))
    arrays = param.reshape(-1), flat(grad), velocity.reshape(-1)
    run_parallel(_sgd, -(-param.size // PIECE), 0, param.dtype, *arrays, factors)
    return None


def sgd_update_all(
    params: Sequence[Array],
    grads: Sequence[Array],
    velocities: Sequence[Array],
    lr: float,
    momentum: float,
    weight_decays: Sequence[float],
    grad_scale: float = 1.0,
) -> None:
    """See `npswin.ops.sgd_update_all`."""
    if math.isfinite(grad_scale):
        for param, grad, velocity, weight_decay in zip(params, grads, velocities, weight_decays, strict=True):
            scaled = grad if grad_scale == 1 else grad_scale * grad
            sgd_update(param, scaled, velocity, lr, momentum, weight_decay)


@kernel
def _ema(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    pieces: Array,
    addresses: Array,
    tensors: int,
    like: Array,
    one_minus_decay: float,
) -> None:
    """`addresses` are those of all averages, then parameters."""
    for piece in range(first, stop):
        tensor, start, count = pieces[3 * piece], pieces[3 * piece + 1], pieces[3 * piece + 2]
        mean = elements_at(addresses[tensor], start, count, like)
        theta = elements_at(addresses[tensors + tensor], start, count, like)
        for i in range(count):
            mean[i] += one_minus_decay * (theta[i] - mean[i])


def ema_update(average: Array, param: Array, decay: float) -> None:
    """See `npswin.ops.ema_update`."""
    ema_update_all([average], [param], decay)


def ema_update_all(averages: Sequence[Array], params: Sequence[Array], decay: float) -> None:
    """See `npswin.ops.ema_update_all`."""
    if not _in_place(averages):
        return definition.ema_update_all(averages, params, decay)
    dtype, read = params[0].dtype, [flat(param) for param in params]
    work, tensors = pieces(tuple(param.size for param in params)), addresses_of([*averages, *read])
    args = work, tensors, len(params), np.empty(0, dtype), dtype.type(1 - decay)
    run_parallel(_ema, len(work) // 3, 0, dtype, *args)
    return None


@kernel
def _square_sums(
    first: int, stop: int, part: int, scratch: Array, pieces: Array, addresses: Array, like: Array, out: Array
) -> None:
    for piece in range(first, stop):
        tensor, start, count = pieces[3 * piece], pieces[3 * piece + 1], pieces[3 * piece + 2]
        row, total = elements_at(addresses[tensor], start, count, like), 0.0
        for i in range(count):
            total += np.float64(row[i]) * np.float64(row[i])
        out[piece] = total


def global_norm(grads: Iterable[Array]) -> float:
    """See `npswin.ops.global_norm`."""
    rows = [flat(grad) for grad in grads]
    total = 0.0
    for dtype in {row.dtype for row in rows}:
        alike = [row for row in rows if row.dtype == dtype]
        work = pieces(tuple(row.size for row in alike))
        sums = np.zeros(len(work) // 3)
        run_parallel(_square_sums, len(sums), 0, dtype, work, addresses_of(alike), np.empty(0, dtype), sums)
        total += float(sums.sum())
    return math.sqrt(total)
