"""What an optimizer does to parameters, in place: AdamW, SGD with momentum, a moving average, the global norm."""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from npswin.ops.arguments import Axes, Each, any_number, integer, number
from npswin.ops.description import op
from npswin.types import Array

_RATE = number(at_least=0, may_be_on_gpu=True)
_FACTOR = number(at_least=0, below=1)
_NOT_NEGATIVE = number(at_least=0)
_EPS = number(at_least=0, in_arrays_dtype=True)
_STEP = integer(at_least=1, at_most=1 << 53, may_be_on_gpu=True)
_SCALE = any_number(may_be_on_gpu=True)
_READ, _UPDATED = Axes("..."), Axes("...", updated=True)


@op(
    param=_UPDATED,
    grad=_READ,
    m=_UPDATED,
    v=_UPDATED,
    lr=_RATE,
    beta1=_FACTOR,
    beta2=_FACTOR,
    eps=_EPS,
    weight_decay=_NOT_NEGATIVE,
    step=_STEP,
)
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
    """One step of Adam with decoupled weight decay (Loshchilov & Hutter 2019, algorithm 2), in place.

        m ← β₁ m + (1 − β₁) g           running mean of the gradient
        v ← β₂ v + (1 − β₂) g²          running mean of its square
        m̂ = m / (1 − β₁ᵗ)               corrects the bias of the initial m = v = 0
        v̂ = v / (1 − β₂ᵗ)
        θ ← θ − η λ θ − η m̂ / (√v̂ + ε)

    The decay ηλθ does not pass through m and v: that is the difference to L2 regularization. It is scaled by the
    learning rate η, as in `torch.optim.AdamW` (the paper scales it by the schedule alone).

    Args:
        param: θ, any shape; updated.
        grad: g of the same shape; left alone.
        m: of the same shape, zeros at first; updated.
        v: of the same shape, zeros at first; updated.
        lr: η.
        beta1: β₁ in [0, 1).
        beta2: β₂ in [0, 1).
        eps: ε.
        weight_decay: λ.
        step: t, from 1.
    """
    scratch = np.empty_like(m)
    np.subtract(grad, m, out=scratch)
    scratch *= 1 - beta1
    m += scratch  # m + (1 − β₁)(g − m) is β₁ m + (1 − β₁) g

    np.multiply(grad, grad, out=scratch)
    scratch *= 1 - beta2
    v *= beta2
    v += scratch

    np.sqrt(v, out=scratch)
    scratch /= math.sqrt(1 - beta2**step)
    scratch += eps
    np.divide(m, scratch, out=scratch)
    scratch *= lr / (1 - beta1**step)
    param *= 1 - lr * weight_decay
    param -= scratch


@op(
    params=Each(_UPDATED),
    grads=Each(_READ),
    ms=Each(_UPDATED),
    vs=Each(_UPDATED),
    lr=_RATE,
    beta1=_FACTOR,
    beta2=_FACTOR,
    eps=_EPS,
    weight_decays=Each(_NOT_NEGATIVE),
    step=_STEP,
    grad_scale=_SCALE,
)
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
    """`adamw_update` of many parameters, in place: a chain that is worth fusing, since most of them are small.

    Args:
        params, grads, ms, vs: θ, g, m and v of each parameter.
        lr, beta1, beta2, eps, step: as in `adamw_update`, of all of them.
        weight_decays: λ of each.
        grad_scale: by which all g are multiplied first, as clipping does. Where it is not finite, nothing is changed.
    """
    if math.isfinite(grad_scale):
        for param, grad, m, v, weight_decay in zip(params, grads, ms, vs, weight_decays, strict=True):
            adamw_update(param, grad_scale * grad, m, v, lr, beta1, beta2, eps, weight_decay, step)


@op(param=_UPDATED, grad=_READ, velocity=_UPDATED, lr=_RATE, momentum=_FACTOR, weight_decay=_NOT_NEGATIVE)
def sgd_update(param: Array, grad: Array, velocity: Array, lr: float, momentum: float, weight_decay: float) -> None:
    """One step of gradient descent with momentum (Sutskever et al. 2013), in place.

        u ← μ u + g + λ θ
        θ ← θ − η u

    As in `torch.optim.SGD`, the learning rate η stands outside the velocity u and the decay λθ is part of the gradient.

    Args:
        param: θ, any shape; updated.
        grad: g of the same shape; left alone.
        velocity: u of the same shape, zeros at first; updated.
        lr: η.
        momentum: μ in [0, 1).
        weight_decay: λ.
    """
    velocity *= momentum
    velocity += grad
    if weight_decay:
        velocity += weight_decay * param
    param -= lr * velocity


@op(
    params=Each(_UPDATED),
    grads=Each(_READ),
    velocities=Each(_UPDATED),
    lr=_RATE,
    momentum=_FACTOR,
    weight_decays=Each(_NOT_NEGATIVE),
    grad_scale=_SCALE,
)
def sgd_update_all(
    params: Sequence[Array],
    grads: Sequence[Array],
    velocities: Sequence[Array],
    lr: float,
    momentum: float,
    weight_decays: Sequence[float],
    grad_scale: float = 1.0,
) -> None:
    """`sgd_update` of many parameters, in place.

    Args:
        params, grads, velocities: θ, g and u of each parameter.
        lr, momentum: as in `sgd_update`, of all of them.
        weight_decays: λ of each.
        grad_scale: by which all g are multiplied first. Where it is not finite, nothing is changed.
    """
    if math.isfinite(grad_scale):
        for param, grad, velocity, weight_decay in zip(params, grads, velocities, weight_decays, strict=True):
            sgd_update(param, grad_scale * grad, velocity, lr, momentum, weight_decay)


_SHARE = number(at_least=0, at_most=1, may_be_on_gpu=True)


@op(average=_UPDATED, param=_READ, decay=_SHARE)
def ema_update(average: Array, param: Array, decay: float) -> None:
    """a ← δ a + (1 − δ) θ, in place.

    Args:
        average: a, any shape; updated.
        param: θ of the same shape; left alone.
        decay: δ in [0, 1].
    """
    scratch = param - average
    scratch *= 1 - decay
    average += scratch


@op(averages=Each(_UPDATED), params=Each(_READ), decay=_SHARE)
def ema_update_all(averages: Sequence[Array], params: Sequence[Array], decay: float) -> None:
    """`ema_update` of many parameters, in place.

    Args:
        averages, params: a and θ of each.
        decay: δ of all of them.
    """
    for average, param in zip(averages, params, strict=True):
        ema_update(average, param, decay)


@op(grads=Each(_READ))
def global_norm(grads: Iterable[Array]) -> float:
    """√(Σ g²) over all entries of all arrays.

    Args:
        grads: arrays of any shapes.

    Returns:
        The Euclidean norm of all of them laid end to end, summed in float64: NaN or infinite where an entry is.
    """
    norms = [float(np.linalg.norm(grad.astype(np.result_type(grad, np.float64)))) for grad in grads]
    return math.nan if any(map(math.isnan, norms)) else math.hypot(*norms)
