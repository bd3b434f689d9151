"""What the kernels of the MLP in all precisions read: sizes, parameters, maps, and where a tile's tokens are."""

from typing import NamedTuple

import numpy as np

from npswin.backends.cpu.machine.compilation import inner_function
from npswin.backends.cpu.machine.flat_array import elements_at
from npswin.types import Array


class MlpSizes(NamedTuple):
    """Sizes of a call.

    Attributes:
        tokens: in all.
        channels: C.
        hidden: rows of the hidden layer.
        tile: lanes of a tile.
        rows_per_step: hidden rows that are computed together.
        tokens_per_scale: tokens that share a factor of drop path: those of an image, or all.
    """

    tokens: int
    channels: int
    hidden: int
    tile: int
    rows_per_step: int
    tokens_per_scale: int


class MlpWeights(NamedTuple):
    """All parameters, flat; those of the norm are empty where there is none."""

    norm_weight: Array
    norm_bias: Array
    fc1_weight: Array
    fc1_bias: Array
    fc2_weight: Array
    fc2_bias: Array


class MlpTransposes(NamedTuple):
    """The transposes of the weights, as `transposed_panels` or `rounded_transpose` makes them."""

    fc1: Array
    fc2: Array


class MlpMaps(NamedTuple):
    """y = shortcut + s · MLP(x), flat; s is one number an image or a single one.

    In the backward pass y is dx, and shortcut is dy, or zeros where there is no residual connection.
    """

    x: Array
    shortcut: Array
    y: Array
    image_scales: Array


class MlpSaved(NamedTuple):
    """What the forward pass saves for the backward pass; empty in inference.

    Attributes:
        stats: (tiles, 2, tile) mean and 1/√(σ² + eps) of each token.
        hidden: (tiles, hidden, tile) the hidden layer before the GELU, in lanes.
    """

    stats: Array
    hidden: Array


class MlpOwnSums(NamedTuple):
    """The weights' gradients, summed by each part for itself: (parts, hidden · C) each, or empty."""

    dfc1_weight: Array
    dfc2_transposed: Array


TILE_TOKEN_BYTES = 17  # for each token of a tile, of the memory that `make_tile_tokens` takes


@inner_function
def make_tile_tokens(tile: int, memory: int, like: Array) -> tuple[Array, Array, Array]:
    """Offsets and factors of a tile's tokens, which `locate_tokens` fills, and a mask that is True everywhere."""
    offsets, token_scales = elements_at(memory, 0, tile, np.int64), elements_at(memory + 8 * tile, 0, tile, like)
    all_in_map = elements_at(memory + 16 * tile, 0, tile, np.bool_)
    for i in range(tile):
        all_in_map[i] = True
    return offsets, token_scales, all_in_map


@inner_function
def locate_tokens(
    first: int, count: int, sizes: MlpSizes, image_scales: Array, offsets: Array, token_scales: Array
) -> None:
    """Where each of a tile's tokens starts, and the factor of its image."""
    for i in range(sizes.tile):
        token = first + i if i < count else first
        offsets[i] = token * sizes.channels
        token_scales[i] = image_scales[token // sizes.tokens_per_scale]
