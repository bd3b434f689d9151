"""Two arrays of one shape combined number by number: their sum, product, larger one, or some channels of each."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from npswin.types import Array


@dataclass(frozen=True)
class Combination:
    """A function of two arrays of one shape, and its derivatives.

    Attributes:
        words: with {x} and {v} for the names of the two.
        forward: (x, v) -> y.
        backward: (dy, x, v) -> the derivatives by x and by v.
        fitted: how many numbers in it were fitted.
    """

    words: str
    forward: Callable[[Array, Array], Array]
    backward: Callable[[Array, Array, Array], tuple[Array, Array]]
    fitted: int = 0


ROUND = (1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 0.0)  # factors that a sum may have without being fitted
NEAR = 1e-4  # of a factor to a round one


def rounded_factor(factor: float) -> float:
    """The round factor that this one is near to, or this one."""
    return next((one for one in ROUND if abs(factor - one) < NEAR), factor)


def weighted_sum(a: float, b: float) -> Combination:
    """a x + b v."""
    names = {
        (1.0, 1.0): "{v} is added to {x}",
        (1.0, -1.0): "{v} is subtracted from {x}",
        (-1.0, 1.0): "{x} is subtracted from {v}",
        (0.5, 0.5): "the mean of {x} and {v}",
        (0.0, 1.0): "{v} in place of {x}",
    }
    words = f"{a:.6g} {{x}}" if b == 0 else f"{a:.6g} {{x}} + {b:.6g} {{v}}"
    return Combination(
        names.get((a, b), words),
        lambda x, v: a * x + b * v,
        lambda dy, x, v: (a * dy, b * dy),
        sum(one not in ROUND for one in (a, b)),
    )


def chosen(words: str, of_v: Callable[[Array, Array], Array]) -> Combination:
    """Numbers of v where `of_v(x, v)` is true, and of x elsewhere."""

    def forward(x: Array, v: Array) -> Array:
        return np.where(of_v(x, v), v, x)

    def backward(dy: Array, x: Array, v: Array) -> tuple[Array, Array]:
        chosen = of_v(x, v)
        return np.where(chosen, 0, dy), np.where(chosen, dy, 0)

    return Combination(words, forward, backward)


def _joined_halves(x: Array, v: Array) -> Array:
    half = x.shape[-1] // 2
    return np.concatenate([x[..., : x.shape[-1] - half], v[..., :half]], axis=-1)


def _joined_halves_backward(dy: Array, x: Array, v: Array) -> tuple[Array, Array]:
    half = dy.shape[-1] // 2
    dx, dv = np.zeros_like(dy), np.zeros_like(dy)
    dx[..., : dy.shape[-1] - half], dv[..., :half] = dy[..., : dy.shape[-1] - half], dy[..., dy.shape[-1] - half :]
    return dx, dv


def _from_channel(x: Array) -> Array:
    return np.broadcast_to(np.arange(x.shape[-1]) >= x.shape[-1] - x.shape[-1] // 2, x.shape)


SUM, DIFFERENCE, MEAN = weighted_sum(1, 1), weighted_sum(1, -1), weighted_sum(0.5, 0.5)
PRODUCT = Combination("{x} is multiplied by {v}", lambda x, v: x * v, lambda dy, x, v: (dy * v, dy * x))
QUOTIENT = Combination("{x} is divided by {v}", lambda x, v: x / v, lambda dy, x, v: (dy / v, -dy * x / (v * v)))
OTHERS = (
    PRODUCT,
    chosen("the larger of {x} and {v}", lambda x, v: v > x),
    chosen("the first half of {x}'s channels and the second half of {v}'s", lambda x, v: _from_channel(x)),
    chosen("the first half of {v}'s channels and the second half of {x}'s", lambda x, v: ~_from_channel(x)),
    chosen(
        "{x} and {v} in turn, channel by channel",
        lambda x, v: np.broadcast_to(np.arange(x.shape[-1]) % 2 == 1, x.shape),
    ),
    Combination("the first halves of {x}'s and of {v}'s channels", _joined_halves, _joined_halves_backward),
)
