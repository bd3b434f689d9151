"""Layer normalization over the channels (Ba, Kiros, Hinton 2016, equation 4)."""

from typing import Any

import numpy as np

from npswin.ops.arguments import number
from npswin.ops.description import op
from npswin.types import Array


@op(x="... C", weight="C", bias="C", eps=number(at_least=0, in_arrays_dtype=True))
def layer_norm_forward(x: Array, weight: Array, bias: Array, eps: float = 1e-5) -> tuple[Array, Any]:
    """y = x̂ · weight + bias, where x̂ = (x − μ) / √(σ² + eps).

    μ and σ² are the mean and the biased variance of each token's C channels.

    Args:
        x: (..., C).
        weight: (C,), the gain.
        bias: (C,).
        eps: keeps the root away from zero.

    Returns:
        y (..., C) and the cache for the backward pass.

    Test: tests/ops/test_gradients.py::test_layer_norm
    """
    xhat = x - x.mean(axis=-1, keepdims=True)
    variance = np.einsum("...c,...c->...", xhat, xhat)[..., None] / x.shape[-1]
    rstd = 1 / np.sqrt(variance + eps)
    xhat *= rstd
    return xhat * weight + bias, (xhat, rstd, weight)


def layer_norm_backward(dy: Array, cache: Any) -> tuple[Array, Array, Array]:
    """Derivatives of layer normalization.

    Each token contributes one term to each parameter: dweight = Σ dy x̂ and dbias = Σ dy, over all tokens.

    x̂_j = (x_j − μ) rstd depends on x_i directly, through μ and through rstd = (σ² + eps)^(−1/2):

        ∂μ/∂x_i = 1/C        ∂σ²/∂x_i = 2 (x_i − μ)/C        ∂rstd/∂x_i = −rstd² x̂_i/C
        ∂x̂_j/∂x_i = rstd (δ_ij − 1/C − x̂_i x̂_j / C)

    Summing over j with g_j = dy_j weight_j, the derivative by x̂_j, and with ⟨·⟩ for the mean over a token's channels:

        dx = rstd ( g − ⟨g⟩ − x̂ ⟨g x̂⟩ )

    Args:
        dy: (..., C).

    Returns:
        dx (..., C), dweight (C,), dbias (C,).
    """
    xhat, rstd, weight = cache
    channels = xhat.shape[-1]
    dweight = np.einsum("rc,rc->c", dy.reshape(-1, channels), xhat.reshape(-1, channels))
    dbias = dy.reshape(-1, channels).sum(axis=0)
    g = dy * weight
    g_mean = g.mean(axis=-1, keepdims=True)
    gx_mean = np.einsum("...c,...c->...", g, xhat)[..., None] / channels
    dx = g  # in place: no further map-sized array than g
    dx -= g_mean
    dx -= xhat * gx_mean
    dx *= rstd
    return dx, dweight, dbias
