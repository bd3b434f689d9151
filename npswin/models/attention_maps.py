"""The attention of one block over its map: windows, shift and padding undone."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from npswin.checks import check_flag, check_integer, shown
from npswin.layers import WindowAttention
from npswin.layers.layer import is_overridden
from npswin.models.block_maps import as_numpy, find_block, input_of, to_pixels, token_side
from npswin.models.swin import SwinTransformer
from npswin.ops.windows import window_tokens
from npswin.types import Array

MOST_NUMBERS = 2**30  # of a result; four gibibytes in float32


def attention_maps(
    model: SwinTransformer,
    images: Array,
    block: str | int = -1,
    *,
    query: Sequence[int] | None = None,
    head: int | None = None,
    pixels: bool = False,
) -> Array:
    """With which probability a token attends to each token of the map, in one block.

        maps = npswin.attention_maps(model, images, "layers.2.blocks.5", query=(3, 8))      (B, h, H', W')

    The block's map (H', W') has a token for each square of patch_size · 2ⁱ pixels, where i is the stage. A token
    attends within its window, and in a shifted block only to those of its window that are its neighbours on the map:
    elsewhere a map is zero (in models with a finite mask_value, such as the official −100, e⁻¹⁰⁰ for the masked ones).

    A map's sum is 1 where the windows fit the map. Where they do not, the map is padded with zeros, to which tokens
    attend as well; what is missing from 1 is the padding's share.

    Args:
        model: in inference, without dropout; on any device.
        images: (B, c, H, W) of any size, normalized, as the model takes them.
        block: its name, or its number among all blocks, from 0, or from the end as -1.
        query: row and column in the block's map of the token that attends: those of a pixel, divided by the side of a
            token's square. None for all tokens.
        head: number of a head, from 0; None for all heads.
        pixels: whether maps are interpolated bilinearly to the pixels of the images, for a picture.

    Returns:
        (B, h, H', W') for a query, else (B, h, H', W', H', W'), where the query is before the key; without the axis of
        the heads where one is given; with (H, W) for the last two axes where `pixels` is set. A NumPy array.

    Raises:
        ValueError: an argument that does not fit, named; or a result of more than 2³⁰ numbers.
    """
    place = find_block(model, block)
    check_flag("pixels", pixels)
    name, layer = model.trunk[place]
    attn = layer.children["attn"]
    if not isinstance(attn, WindowAttention) or is_overridden(attn, WindowAttention):
        raise ValueError(f"block: got {name}, whose attention {type(attn).__name__} has methods of its own")
    if head is not None:
        head = check_integer("head", head, 0, attn.num_heads - 1)
    x = input_of(model, images, place)
    batch, height, width = x.shape[:3]
    row_and_column = None if query is None else _checked_query(query, height, width)
    maps_of_an_image = (attn.num_heads if head is None else 1) * (height * width if query is None else 1)
    count = batch * maps_of_an_image * (images.shape[2] * images.shape[3] if pixels else height * width)
    if count > MOST_NUMBERS:
        got = f"got {shown(query)} for {batch} maps of {height} × {width}, which gives {count} numbers"
        raise ValueError(f"query: {got}, expected at most {MOST_NUMBERS}: give a query, or fewer images")
    probabilities = as_numpy(attn.probabilities(layer.children["norm1"](x))[0])
    if head is not None:
        probabilities = probabilities[:, :, [head]]
    tokens = window_tokens(height, width, attn.window_size, attn.shift_size)
    if row_and_column is None:
        maps = _of_all_queries(probabilities, tokens, height * width).reshape(batch, -1, *(height, width) * 2)
    else:
        number = row_and_column[0] * width + row_and_column[1]
        maps = _of_query(probabilities, tokens, height * width, number).reshape(batch, -1, height, width)
    maps = maps if head is None else maps[:, 0]
    return to_pixels(maps, token_side(model, place), images.shape[2:]) if pixels else maps


def _of_query(probabilities: Array, tokens: Array, count: int, query: int) -> Array:
    """(B, nW, h, N, N) -> (B, h, H'W') for one token. Padding, whose number is −1, is put into a last place and cut."""
    window, place = np.argwhere(tokens == query)[0]
    maps = np.zeros((len(probabilities), probabilities.shape[2], count + 1), probabilities.dtype)
    maps[:, :, tokens[window]] = probabilities[:, window, :, place]
    return maps[:, :, :count]


def _of_all_queries(probabilities: Array, tokens: Array, count: int) -> Array:
    """(B, nW, h, N, N) -> (B, h, H'W', H'W'), as `_of_query` for each token."""
    maps = np.zeros((len(probabilities), probabilities.shape[2], count + 1, count + 1), probabilities.dtype)
    maps[:, :, tokens[:, :, None], tokens[:, None, :]] = probabilities.swapaxes(1, 2)
    return maps[:, :, :count, :count]


def _checked_query(query: Any, height: int, width: int) -> tuple[int, int]:
    if not isinstance(query, list | tuple) and not (isinstance(query, np.ndarray) and query.ndim == 1):
        raise ValueError(f"query: got {shown(query)}, expected the row and the column of a token")
    if len(query) != 2:
        raise ValueError(f"query: got {shown(query)}, expected two numbers, the row and the column of a token")
    row, column = query
    return check_integer("query[0]", row, 0, height - 1), check_integer("query[1]", column, 0, width - 1)
