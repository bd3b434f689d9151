"""What a norm subtracted from each token and by what it divided it, from its result."""

from typing import NamedTuple

import numpy as np

from npswin.types import Array

FEWEST_TOKENS, FEWEST_CHANNELS = 8, 4
MARGIN = 4.0  # times the tolerance


class Recovered(NamedTuple):
    """The tokens (…, C) of a norm, and for each what the port subtracted and by what it divided, (…, 1).

    Attributes:
        x, centre, scale: these.
        near: the largest difference of equal centres or scales.
    """

    x: Array
    centre: Array
    scale: Array
    near: float


def recovered_statistics(x: Array, weight: Array, bias: Array, found: Array, tolerance: float) -> Recovered | None:
    """The statistics that a port used; None where they are not the same for all channels of a token.

    Args:
        x: (…, C), of which each token has a centre subtracted and is divided.
        weight, bias: (C,).
        found: the port's result, (…, C).
        tolerance: the largest difference of equal numbers of it.
    """
    if x.shape[-1] < FEWEST_CHANNELS or x.size // x.shape[-1] < FEWEST_TOKENS:
        return None
    # Minimize (weight (α x + β) + bias - found)² over the channels of each token.
    share = weight * weight / max(float((weight * weight).sum()), np.finfo(float).tiny)
    centred = x - (share * x).sum(-1, keepdims=True)
    gained = weight * (found - bias)
    squares = (weight * weight * centred * centred).sum(-1, keepdims=True)
    slope = (centred * gained).sum(-1, keepdims=True) / np.where(squares, squares, 1)
    offset = gained.sum(-1, keepdims=True) / (weight * weight).sum() - slope * (share * x).sum(-1, keepdims=True)
    if np.abs(weight * (slope * x + offset) + bias - found).max() > MARGIN * tolerance or not slope.all():
        return None
    gain = float(np.sqrt((weight * weight).mean()))
    return Recovered(x, -offset / slope, 1 / slope, MARGIN * tolerance * float(np.abs(1 / slope).max()) / gain)
