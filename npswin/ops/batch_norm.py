"""Batch normalization over all pixels of a batch (Ioffe, Szegedy 2015, algorithm 1).

A batch may be divided into parts, as processes share it. Its moments are then those of the parts, merged, and the sums
of its backward pass those of the parts, added:

    moments = merge_moments([batch_norm_moments(part) for part in parts])
    y = batch_norm_forward(part, weight, bias, moments.mean, moments.variance)[0]      for each part
    sums = batch_norm_backward_sums(dy, part, moments.mean, moments.variance)          for each part, then added
    dx = batch_norm_backward_input(dy, part, weight, moments.mean, moments.variance, *sums / moments.pixel_count)
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from npswin.ops.arguments import flag, number
from npswin.ops.description import op
from npswin.types import Array

_EPS = number(at_least=0, in_arrays_dtype=True)


class Moments(NamedTuple):
    """Of each channel of some pixels.

    Attributes:
        pixel_count: how many pixels.
        mean: (C,).
        variance: (C,), the biased one: the mean of (x − mean)².
    """

    pixel_count: int
    mean: Array
    variance: Array


@op(x="... C")
def batch_norm_moments(x: Array) -> Moments:
    """How many pixels there are, and the mean and the biased variance of each channel; zeros where there are none.

    Args:
        x: (..., C).
    """
    pixels = x.reshape(-1, x.shape[-1])
    count = len(pixels)
    mean = pixels.sum(axis=0) / max(count, 1)
    variance = np.einsum("rc,rc->c", pixels - mean, pixels - mean) / max(count, 1)
    return Moments(count, mean, variance)


def merge_moments(parts: Sequence[Moments]) -> Moments:
    """The moments of all pixels of some parts of a batch (Chan, Golub, LeVeque 1979).

    With n_p pixels in part p, and n = Σ n_p,

        mean = Σ n_p mean_p / n        variance = Σ n_p (variance_p + (mean_p − mean)²) / n

    since Σ (x − mean)² over the pixels of a part is n_p variance_p + n_p (mean_p − mean)². The difference
    ⟨x²⟩ − mean² would be shorter, and lose the digits of a variance that is small beside the mean.

    Args:
        parts: at least one.
    """
    count = sum(part.pixel_count for part in parts)
    shares = [part.pixel_count / max(count, 1) for part in parts]
    mean, variance = np.zeros_like(parts[0].mean), np.zeros_like(parts[0].variance)
    for share, part in zip(shares, parts, strict=True):
        mean += share * part.mean
    for share, part in zip(shares, parts, strict=True):
        variance += share * (part.variance + (part.mean - mean) ** 2)
    return Moments(count, mean, variance)


@op(x="... C", weight="C", bias="C", mean="C", variance="C", eps=_EPS, constant=flag())
def batch_norm_forward(
    x: Array, weight: Array, bias: Array, mean: Array, variance: Array, eps: float = 1e-5, constant: bool = False
) -> tuple[Array, Any]:
    """y = x̂ · weight + bias, where x̂ = (x − mean) / √(variance + eps), for each channel.

    Args:
        x: (..., C).
        weight: (C,), the gain.
        bias: (C,).
        mean, variance: (C,), those of x, by `batch_norm_moments`; or constants, such as running statistics.
        eps: keeps the root away from zero.
        constant: whether mean and variance do not depend on x, so that no derivative goes through them.

    Returns:
        y (..., C) and the cache for the backward pass.

    Test: tests/ops/test_gradients.py::test_batch_norm
    """
    rstd = 1 / np.sqrt(variance + eps)
    y = (x - mean) * (rstd * weight) + bias
    return y, (x, weight, mean, variance, eps, constant)


@op(dy="... C", x="... C", mean="C", variance="C", eps=_EPS)
def batch_norm_backward_sums(
    dy: Array, x: Array, mean: Array, variance: Array, eps: float = 1e-5
) -> tuple[Array, Array]:
    """Σ dy and Σ dy x̂ over all pixels: dbias and dweight of y = x̂ · weight + bias.

    Args:
        dy, x: (..., C).
        mean, variance: (C,), of the forward pass.
        eps: of the forward pass.

    Returns:
        Σ dy and Σ dy x̂, (C,) each.
    """
    channels = x.shape[-1]
    xhat = ((x - mean) / np.sqrt(variance + eps)).reshape(-1, channels)
    dy = dy.reshape(-1, channels)
    return dy.sum(axis=0), np.einsum("rc,rc->c", dy, xhat)


@op(dy="... C", x="... C", weight="C", mean="C", variance="C", dy_mean="C", dy_xhat_mean="C", eps=_EPS)
def batch_norm_backward_input(
    dy: Array,
    x: Array,
    weight: Array,
    mean: Array,
    variance: Array,
    dy_mean: Array,
    dy_xhat_mean: Array,
    eps: float = 1e-5,
) -> Array:
    """dx = weight · rstd · (dy − ⟨dy⟩ − x̂ ⟨dy x̂⟩), with ⟨·⟩ for the mean over the batch, of which x may be a part.

    See `batch_norm_backward` for the derivation.

    Args:
        dy, x: (..., C).
        weight, mean, variance: (C,), of the forward pass.
        dy_mean, dy_xhat_mean: (C,), the sums of `batch_norm_backward_sums` of all parts, divided by the batch's count.
        eps: of the forward pass.

    Returns:
        dx (..., C).
    """
    rstd = 1 / np.sqrt(variance + eps)
    xhat = (x - mean) * rstd
    return weight * rstd * (dy - dy_mean - xhat * dy_xhat_mean)


def batch_norm_backward(dy: Array, cache: Any) -> tuple[Array, Array, Array]:
    """Derivatives of batch normalization.

    Each pixel contributes one term to each parameter: dweight = Σ dy x̂ and dbias = Σ dy, over all pixels.

    Where mean and variance are constants, dx = dy · weight · rstd. Where they are those of the n pixels of x,
    x̂_j = (x_j − μ) rstd depends on the pixel x_i of its channel directly, through μ, and through
    rstd = (σ² + eps)^(−1/2):

        ∂μ/∂x_i = 1/n        ∂σ²/∂x_i = 2 (x_i − μ)/n        ∂rstd/∂x_i = −rstd² x̂_i/n
        ∂x̂_j/∂x_i = rstd (δ_ij − 1/n − x̂_i x̂_j / n)

    Summing over j with dy_j weight, the derivative by x̂_j, and with ⟨·⟩ for the mean over the pixels:

        dx = weight · rstd · ( dy − ⟨dy⟩ − x̂ ⟨dy x̂⟩ )

    Args:
        dy: (..., C).

    Returns:
        dx (..., C), dweight (C,), dbias (C,).
    """
    x, weight, mean, variance, eps, constant = cache
    dbias, dweight = batch_norm_backward_sums(dy, x, mean, variance, eps)
    if constant:
        return dy * (weight / np.sqrt(variance + eps)), dweight, dbias
    share = 1 / max(x.size // x.shape[-1], 1)  # of one pixel in the means
    dx = batch_norm_backward_input(dy, x, weight, mean, variance, share * dbias, share * dweight, eps)
    return dx, dweight, dbias
