"""One call of an op, and what the functions that draw it have in common: sizes, weights, masks and norms."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

from npswin import ops
from tests.ops.drawn import SEEDS


@dataclass
class Case:
    """The arguments of one call, arrays in float64.

    Attributes:
        args: positional arguments; an array, None, or something else that is passed on as it is.
        rng: draws the gradient of y.
        kwargs: arguments by name.
        length: number of terms of the op's longest sum.
        least_scale: what the results' errors are relative to, where the results are smaller.
        cancelled: size of the terms of dx relative to dy, where they cancel.
    """

    args: list[Any]
    rng: np.random.Generator
    kwargs: dict[str, Any] = field(default_factory=dict)
    length: int = 1
    least_scale: float = 0.0
    cancelled: float = 0.0


@dataclass
class Seed:
    """Replaced by a new generator with this seed."""

    value: int


CHANNELS = st.integers(1, 100)
FEW = st.integers(1, 9)
SIDES = st.integers(1, 3)


def generator(draw):
    """A generator of numbers, by a drawn seed."""
    return np.random.default_rng(draw(SEEDS))


def lead_axes(draw, large):
    """The axes before the channels: up to three; 301 tokens or more in a large case."""
    if large:
        return draw(st.sampled_from([(301,), (2, 190), (1, 18, 23), (3, 11, 13)]))
    return tuple(draw(st.lists(FEW, max_size=3)))


def any_shape(draw, large):
    """The axes before the channels, and the channels."""
    return (*lead_axes(draw, large), draw(CHANNELS))


def map_size(draw, large):
    """(B, H, W), with odd sides among them."""
    if large:
        return draw(st.integers(1, 3)), draw(st.integers(18, 25)), draw(st.integers(17, 24))
    return draw(st.integers(1, 3)), draw(FEW), draw(FEW)


def maybe(draw, array):
    """The array, or None."""
    return array if draw(st.booleans()) else None


def product(shape):
    """The number of elements."""
    return int(np.prod(shape))


def weight_parameter(rng, out, *inputs):
    """A weight that gives outputs the size of the inputs."""
    return rng.standard_normal((out, *inputs)) / np.sqrt(np.prod(inputs))


def norm_parameters(rng, channels):
    """A norm's gain and bias."""
    return [1 + 0.3 * rng.standard_normal(channels), 0.3 * rng.standard_normal(channels)]


def dropout_mask(draw, rng, *shape):
    """A dropout mask, or None."""
    return maybe(draw, ops.draw_mask(rng, shape, 0.3, "float64"))


def draw_path_scale(draw, rng, batch):
    """Drop path's factors, zeros among them, or None."""
    return draw(st.sampled_from([None, ops.draw_mask(rng, (batch,), 0.5, "float64"), np.zeros(batch)]))


def norm_cancels(x, eps=1e-5):
    """With one or two channels that differ, dx = rstd (g − ⟨g⟩ − x̂ ⟨g x̂⟩) is what rounding leaves of its terms."""
    return 0.0 if np.count_nonzero(x, axis=-1).min() > 2 else (x.var(axis=-1) + eps).min() ** -0.5


def weights_and_divisor(draw, rng, *shape):
    """Weights of a loss's terms, zeros among them, or None; and what their sum is divided by, or None."""
    weights = draw(st.sampled_from([None, rng.random(shape) * rng.integers(0, 2, shape)]))
    return weights, draw(st.sampled_from([None, 0.5, 30]))
