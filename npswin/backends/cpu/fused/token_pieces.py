"""Where the pieces are that tokens of `npswin.backends.cpu.fused.gathered_linear` are put together from."""

from typing import NamedTuple

import numpy as np

from npswin.backends.cpu.machine.compilation import inner_function
from npswin.backends.cpu.machine.flat_array import elements_at
from npswin.backends.cpu.tile.lanes import Lanes, gather, zero_padding
from npswin.types import Array


class Pieces(NamedTuple):
    """Where tokens are put together from, and how many there are.

    Attributes:
        table: (tokens of an image · pieces,) where each piece starts in an image; −1 for one in the padding.
        pieces: of a token.
        image_size: numbers of an image.
        tokens: of all images.
        inputs: numbers of a token.
        outputs: numbers of its result.
        tile: lanes of a tile.
    """

    table: Array
    pieces: int
    image_size: int
    tokens: int
    inputs: int
    outputs: int
    tile: int


class LinearWeights(NamedTuple):
    """All parameters, flat; those of the norm are empty where there is none."""

    norm_weight: Array
    norm_bias: Array
    weight: Array
    bias: Array


class TilePieces(NamedTuple):
    """What is looked up of a tile's tokens.

    Attributes:
        image_offsets: where each token's image starts in x.
        table_rows: where each token's pieces start in the table.
        offsets: where the current piece of each token starts in x.
        in_map: whether that piece is on the map, and not in the padding.
    """

    image_offsets: Array
    table_rows: Array
    offsets: Array
    in_map: Array


TILE_PIECE_BYTES = 25  # for each token of a tile, of the memory that `make_tile_pieces` takes


@inner_function
def make_tile_pieces(tile: int, memory: int) -> TilePieces:
    """Arrays at the address `memory`."""
    found = TilePieces(
        elements_at(memory, 0, tile, np.int64),
        elements_at(memory, tile, tile, np.int64),
        elements_at(memory, 2 * tile, tile, np.int64),
        elements_at(memory + 24 * tile, 0, tile, np.bool_),
    )
    for i in range(tile):
        found.image_offsets[i], found.table_rows[i], found.offsets[i], found.in_map[i] = 0, 0, 0, True
    return found


@inner_function
def locate_tokens(p: Pieces, first: int, count: int, found: TilePieces) -> None:
    """Where each of a tile's tokens finds its image in x, and its row in the table."""
    per_image = p.table.size // p.pieces
    for i in range(count):
        image, token = divmod(first + i, per_image)
        found.image_offsets[i], found.table_rows[i] = image * p.image_size, token * p.pieces


@inner_function
def locate_piece(p: Pieces, piece: int, count: int, found: TilePieces) -> bool:
    """Where this piece of each of a tile's tokens starts; returns whether some are in the padding."""
    for i in range(count, p.tile):
        found.offsets[i], found.in_map[i] = 0, True
    padded = False
    for i in range(count):
        start = p.table[found.table_rows[i] + piece]
        found.in_map[i] = start >= 0
        found.offsets[i] = found.image_offsets[i] + start if start >= 0 else 0
        padded = padded or start < 0
    return padded


@inner_function
def gather_pieces(x: Array, p: Pieces, count: int, lanes: Lanes, found: TilePieces) -> None:
    out, offset, stride = lanes
    length = p.inputs // p.pieces
    for piece in range(p.pieces):
        padded = locate_piece(p, piece, count, found)
        into = (out, offset + piece * length * stride, stride)
        gather(x, found.offsets, count, length, into)
        if padded:
            zero_padding(into, count, length, found.in_map)
