"""What an optimizer does to parameters, in a single pass over their arrays; the mathematics is in `npswin.ops`."""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from npswin import ops
from npswin.backends.cpu.arrays import are_floats, flat
from npswin.backends.cpu.jit import kernel, view
from npswin.backends.cpu.tensors import PIECE, addresses, numbers_at, pieces
from npswin.backends.cpu.threads import run_parallel
from npswin.types import Array


def _in_place(updated: Sequence[Array], read: Sequence[Array]) -> bool:
    """Whether a kernel may take these: the first ones can be written to as flat arrays, all have one shape and dtype.

    If not, the definition in `npswin.ops` knows what to do, or what is wrong.
    """
    kinds = {(array.shape, array.dtype) for array in (*updated, *read)}
    return len(kinds) == 1 and are_floats(*updated) and all(array.flags.carray for array in updated)


@kernel
def _adamw(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    pieces: Array,
    places: Array,
    tensors: int,
    keeps: Array,
    factors: tuple[float, ...],
) -> None:
    """`places` are those of all parameters, then gradients, m, v; `keeps` is 1 − ηλ for each."""
    take_m, keep_v, take_v, step_size, root_scale, eps, grad_scale = factors
    for piece in range(first, stop):
        tensor, start, count = pieces[3 * piece], pieces[3 * piece + 1], pieces[3 * piece + 2]
        theta = numbers_at(places[tensor], start, count, keeps)
        g = numbers_at(places[tensors + tensor], start, count, keeps)
        mean = numbers_at(places[2 * tensors + tensor], start, count, keeps)
        square = numbers_at(places[3 * tensors + tensor], start, count, keeps)
        keep = keeps[tensor]
        for i in range(count):
            scaled = grad_scale * g[i]
            mean[i] += take_m * (scaled - mean[i])
            square[i] = keep_v * square[i] + take_v * scaled * scaled
            theta[i] = keep * theta[i] - step_size * mean[i] / (np.sqrt(square[i]) * root_scale + eps)


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
    columns = params, ms, vs, grads, weight_decays
    alike = len({len(column) for column in columns}) == 1 and are_floats(*params)
    if not alike or not all(_in_place((param, m, v), (grad,)) for param, m, v, grad, _ in zip(*columns, strict=True)):
        return ops.adamw_update_all(params, grads, ms, vs, lr, beta1, beta2, eps, weight_decays, step, grad_scale)
    dtype = params[0].dtype
    step_size, root_scale = lr / (1 - beta1**step), 1 / math.sqrt(1 - beta2**step)
    factors = 1 - beta1, beta2, 1 - beta2, step_size, root_scale, eps, grad_scale
    read = [flat(grad) for grad in grads]
    work, places = pieces(tuple(param.size for param in params)), addresses([*params, *read, *ms, *vs])
    keeps = np.array([1 - lr * weight_decay for weight_decay in weight_decays], dtype)
    run_parallel(
        *(_adamw, len(work) // 3, 0, dtype),
        *(work, places, len(params), keeps, tuple(map(keeps.dtype.type, factors))),
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
    if not _in_place((param, velocity), (grad,)):
        return ops.sgd_update(param, grad, velocity, lr, momentum, weight_decay)
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
    places: Array,
    tensors: int,
    like: Array,
    take: float,
) -> None:
    """`places` are those of all averages, then parameters."""
    for piece in range(first, stop):
        tensor, start, count = pieces[3 * piece], pieces[3 * piece + 1], pieces[3 * piece + 2]
        mean = numbers_at(places[tensor], start, count, like)
        theta = numbers_at(places[tensors + tensor], start, count, like)
        for i in range(count):
            mean[i] += take * (theta[i] - mean[i])


def ema_update(average: Array, param: Array, decay: float) -> None:
    """See `npswin.ops.ema_update`."""
    ema_update_all([average], [param], decay)


def ema_update_all(averages: Sequence[Array], params: Sequence[Array], decay: float) -> None:
    """See `npswin.ops.ema_update_all`."""
    pairs = list(zip(averages, params, strict=True))
    if not are_floats(*params) or not all(_in_place((average,), (param,)) for average, param in pairs):
        return ops.ema_update_all(averages, params, decay)
    dtype, read = params[0].dtype, [flat(param) for param in params]
    work, places = pieces(tuple(param.size for param in params)), addresses([*averages, *read])
    args = work, places, len(params), np.empty(0, dtype), dtype.type(1 - decay)
    run_parallel(_ema, len(work) // 3, 0, dtype, *args)
    return None


@kernel
def _square_sums(
    first: int, stop: int, part: int, scratch: Array, pieces: Array, places: Array, like: Array, out: Array
) -> None:
    for piece in range(first, stop):
        tensor, start, count = pieces[3 * piece], pieces[3 * piece + 1], pieces[3 * piece + 2]
        row, total = numbers_at(places[tensor], start, count, like), 0.0
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
        run_parallel(_square_sums, len(sums), 0, dtype, work, addresses(alike), np.empty(0, dtype), sums)
        total += float(sums.sum())
    return math.sqrt(total)
