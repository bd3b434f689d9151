"""A layer norm in two steps, each of which may be another one: a centre is subtracted, and the rest is divided."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from npswin.types import Array
from npswin.verify.fits.explanation import Explanation
from npswin.verify.fits.row_statistics import Row, Scale, mean, mean_square
from npswin.verify.fits.rows import derivative_by_rows
from npswin.verify.graph import Operation


class Centre(NamedTuple):
    """What is subtracted from each token.

    Attributes:
        words: of it.
        forward: tokens (…, C) -> (…, 1) and a cache.
        backward: (the derivative by it, (…, 1); the cache) -> the derivative by the tokens.
        fitted: how many numbers of it were fitted.
        of_all: what was made of those of all tokens, if it is no function of each token.
    """

    words: str
    forward: Callable[[Array], tuple[Array, Any]]
    backward: Callable[[Array, Any], Array]
    fitted: int = 0
    of_all: str = ""


class Divisor(NamedTuple):
    """By what the rest of each token is divided.

    Attributes:
        words: of it.
        forward: the tokens, the tokens without their centre, eps -> (…, 1) and a cache.
        backward: (the derivative by it, the cache) -> the derivatives by the tokens and by those without their centre.
        fitted: how many numbers of it were fitted.
        of_all: what was made of those of all tokens, if it is no function of each token.
    """

    words: str
    forward: Callable[[Array, Array, float], tuple[Array, Any]]
    backward: Callable[[Array, Any], tuple[Array, Array]]
    fitted: int = 0
    of_all: str = ""


def norm_of(centre: Centre, divisor: Divisor) -> Operation:
    """(x - centre) / divisor · weight + bias.

    With x̂ = z/d, z = x - c and g = dy · weight: dz = g/d, dd = -Σ g x̂ / d, and dc = -Σ dz, over the channels.
    """

    def forward(x: Array, weight: Array, bias: Array, eps: float) -> tuple[Array, Any]:
        c, of_centre = centre.forward(x)
        d, of_divisor = divisor.forward(x, x - c, eps)
        xhat = (x - c) / d
        return xhat * weight + bias, (xhat, d, weight, of_centre, of_divisor)

    def backward(dy: Array, cache: Any) -> tuple[Array, Array, Array]:
        xhat, d, weight, of_centre, of_divisor = cache
        channels, dz = dy.shape[-1], dy * weight / d
        dx, more = divisor.backward(-(dz * xhat).sum(-1, keepdims=True), of_divisor)
        dz = dz + more
        dx = dx + dz + centre.backward(-dz.sum(-1, keepdims=True), of_centre)
        return dx, (dy * xhat).reshape(-1, channels).sum(0), dy.reshape(-1, channels).sum(0)

    return Operation("layer_norm", forward, backward)


def centre_of_row(words: str, row: Row) -> Centre:
    """A function of each token."""
    return Centre(words, lambda x: (row(x), x), lambda dc, x: derivative_by_rows(row, dc, x))


def divisor_of_row(words: str, scale: Scale, fitted: int) -> Divisor:
    """A function of each token as it is and without its centre."""

    def backward(dd: Array, cache: Any) -> tuple[Array, Array]:
        x, z = cache
        return derivative_by_rows(lambda t: scale(t, z), dd, x), derivative_by_rows(lambda t: scale(x, t), dd, z)

    return Divisor(words, lambda x, z, _: (scale(x, z), (x, z)), backward, fitted)


def moved_mean(words: str, moved: Explanation) -> Centre:
    """What an explanation makes of the means of all tokens, (…)."""

    def forward(x: Array) -> tuple[Array, Any]:
        centre, cache = moved.pair[0](mean(x)[..., 0])
        return centre[..., None], (cache, x)

    def backward(dc: Array, caches: Any) -> Array:
        cache, x = caches
        return np.broadcast_to(moved.pair[1](dc[..., 0], cache)[..., None] / x.shape[-1], x.shape)

    return Centre(words, forward, backward, moved.fitted, moved.words)


def moved_deviation(words: str, moved: Explanation) -> Divisor:
    """What an explanation makes of the deviations of all tokens, (…)."""

    def forward(x: Array, _: Array, eps: float) -> tuple[Array, Any]:
        centred = x - mean(x)
        deviation = np.sqrt(mean_square(centred) + eps)
        divisor, cache = moved.pair[0](deviation[..., 0])
        return divisor[..., None], (cache, centred / deviation)

    def backward(dd: Array, caches: Any) -> tuple[Array, Array]:
        cache, unit = caches
        derivative = moved.pair[1](dd[..., 0], cache)[..., None] * unit / unit.shape[-1]
        return derivative, np.zeros_like(derivative)

    return Divisor(words, forward, backward, moved.fitted, moved.words)
