"""A tensor as pictures: its axes arranged as (image, slice, row, column), windows at their position on the map."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from npswin.types import Array
from npswin.verify.graph import Node
from npswin.verify.page.groups import Windows

WRAPPED = 16  # a vector that is longer is drawn in several rows


@dataclass(frozen=True)
class View:
    """How a tensor is drawn.

    Attributes:
        kind: the meaning of the axes, from which the page computes the index of a cell.
        shape: (images, slices, rows, columns).
        split: the tensor's shape with some axes split in parts.
        order: of the parts in `shape`.
        cuts: rows, and columns, before which a window begins.
        tile: rows and columns of a window's tile; (0, 0) for a picture without windows.
    """

    kind: str
    shape: tuple[int, int, int, int]
    split: tuple[int, ...]
    order: tuple[int, ...]
    cuts: tuple[Sequence[int], Sequence[int]] = ((), ())
    tile: tuple[int, int] = (0, 0)

    def arrange(self, array: Array) -> Array:
        """The tensor's numbers in `shape`, in float64."""
        return np.asarray(array, np.float64).reshape(self.split).transpose(self.order).reshape(self.shape)


def tensor_view(node: Node, shape: Sequence[int], windows: Windows | None) -> View:
    """How a tensor, or its gradient, is drawn.

    Args:
        node: the tensor's node, with the names of its axes.
        shape: the tensor's.
        windows: of its block.
    """
    axes = node.axes
    if axes == "B, c, H, W":
        batch, channels, height, width = shape
        return View("image", (batch, channels, height, width), tuple(shape), (0, 1, 2, 3))
    if axes.startswith("B, H") and len(shape) == 4:
        batch, height, width, channels = shape
        cuts = _map_cuts(node, (height, width), windows)
        return View("map", (batch, channels, height, width), tuple(shape), (0, 3, 1, 2), cuts)
    if axes == "heads (or 1), query, key":
        heads, query, key = shape
        return View("bias", (1, heads, query, key), tuple(shape), (0, 1, 2))
    if windows is not None and "nW" in axes and math.prod(windows.grid) == shape[axes.split(", ").index("nW")]:
        return _windowed(axes, shape, windows)
    return _matrix(shape)


def _windowed(axes: str, shape: Sequence[int], windows: Windows) -> View:
    down, across = windows.grid
    split: tuple[int, ...]
    order: tuple[int, ...]
    side = windows.size
    if axes == "nW, query, key":
        tokens = shape[1]
        split, order, slices, batch, tile = (down, across, tokens, tokens), (0, 2, 1, 3), 1, 1, tokens
        kind = "mask"
    elif axes == "B, nW, heads, query, key":
        batch, _, slices, tokens, _ = shape
        split, order, tile = (batch, down, across, slices, tokens, tokens), (0, 3, 1, 4, 2, 5), tokens
        kind = "attention"
    elif axes == "B, nW, heads, N, d":
        batch, _, heads, _, width = shape
        split, order, tile = (batch, down, across, heads, side, side, width), (0, 3, 6, 1, 4, 2, 5), side
        kind, slices = "heads", heads * width
    else:
        batch, _, _, slices = shape
        split, order, tile = (batch, down, across, side, side, slices), (0, 5, 1, 3, 2, 4), side
        kind = "tokens"
    cuts = range(tile, down * tile, tile), range(tile, across * tile, tile)
    return View(kind, (batch, slices, down * tile, across * tile), split, order, cuts, (tile, tile))


def _map_cuts(node: Node, size: tuple[int, int], windows: Windows | None) -> tuple[Sequence[int], Sequence[int]]:
    if windows is None or any(side > padded for side, padded in zip(size, windows.padded, strict=True)):
        return (), ()
    operation = "" if node.operation is None else node.operation.name
    rolled = operation == "join_windows" or (operation == "cyclic_shift" and node.settings["shift"] > 0)
    first = 0 if rolled else windows.shift_size
    rows, columns = (range(first or windows.size, side, windows.size) for side in size)
    return rows, columns


def _matrix(shape: Sequence[int]) -> View:
    count = math.prod(shape)
    sides = [side for side in shape if side != 1]
    if len(sides) > 1:
        rows = sides[0]
    elif count > WRAPPED:
        rows = max(divisor for divisor in range(1, math.isqrt(count) + 1) if count % divisor == 0)
    else:
        rows = 1
    columns = count // rows
    return View("matrix", (1, 1, rows, columns), (rows, columns), (0, 1))
