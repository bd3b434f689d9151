"""What an optimizer does to one parameter, in a single pass over its arrays."""

import math

import numpy as np

from npswin.backends.cpu.jit import kernel, view
from npswin.backends.cpu.threads import run_parallel
from npswin.types import Array

BLOCK = 1 << 15  # numbers in a piece of work


@kernel
def _adamw(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    param: Array,
    grad: Array,
    m: Array,
    v: Array,
    factors: tuple[float, ...],
) -> None:
    start = first * BLOCK
    count = min(stop * BLOCK, param.size) - start
    theta, g, mean, square = (
        view(param, start, count),
        view(grad, start, count),
        view(m, start, count),
        view(v, start, count),
    )
    keep_m, keep_v, step_size, root_scale, eps, keep = factors
    one = param.dtype.type(1)
    for i in range(count):
        mean[i] += (one - keep_m) * (g[i] - mean[i])
        square[i] = keep_v * square[i] + (one - keep_v) * g[i] * g[i]
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
    factors = (beta1, beta2, lr / (1 - beta1**step), 1 / math.sqrt(1 - beta2**step), eps, 1 - lr * weight_decay)
    arrays = (array.reshape(-1) for array in (param, grad, m, v))
    run_parallel(_adamw, -(-param.size // BLOCK), 0, param.dtype, *arrays, tuple(map(param.dtype.type, factors)))
