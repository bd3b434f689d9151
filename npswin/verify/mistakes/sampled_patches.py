"""A patch embedding of other pixels: patches that overlap, are moved, dilated, or read from other memory."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from npswin.types import Array
from npswin.verify.graph import GRADIENT_PREFIX, Run
from npswin.verify.mistakes.arrangements import arrangements
from npswin.verify.mistakes.fitted_tensors import Fit
from npswin.verify.mistakes.mistake import change_node, gather, is_output_of, transform_input

MARGIN = 4.0  # times the tolerance
FILLS = {
    "zeros come in": "constant",
    "the pixels at the edge come in": "edge",
    "the image is mirrored there": "reflect",
    "the image is mirrored there, with its edge": "symmetric",
    "it is continued from the other side": "wrap",
}


class _Sampling(NamedTuple):
    """The pixels of patches along one axis: `places` (patches, p), which may be outside of the image."""

    words: str
    places: Array


def fit_patches(run: Run, name: str, found: Array, tolerance: float) -> Iterator[Fit]:
    """Other pixels for the patches that give the port's tensor.

    Args:
        run: the graph on the port's own inputs.
        name: the symptom.
        found: the port's tensor.
        tolerance: the largest difference of equal numbers.
    """
    node = run.graph.nodes.get(name)
    if name.startswith(GRADIENT_PREFIX) or node is None or not is_output_of(node, "patch_embed") or found.ndim != 4:
        return
    operation = node.operation
    assert operation is not None
    images, weight, *bias = (run.value(read) for read in node.inputs)
    first = found[:1, :, :, :1]
    for words, rearrange in _rearrangements(images.shape, weight.shape[-1]):
        pixels = rearrange(images[:1])
        y = operation.forward(pixels, weight[:1], *(one[:1] for one in bias), **node.settings)[0]
        if y.shape == first.shape and np.abs(y - first).max() <= MARGIN * tolerance:
            changed = transform_input(operation, 0, gather(rearrange))
            yield Fit(words, change_node(node, changed), 0)


def _rearrangements(shape: tuple[int, ...], side: int) -> Iterator[tuple[str, Callable[[Array], Array]]]:
    """Other images of which the right patches are the port's: in words, and as a function of images."""
    for arrangement in arrangements(shape, moved=False):
        if arrangement.words:
            yield arrangement.words, arrangement.apply
    rows, columns = (_samplings(length, side) for length in shape[2:])
    pairs = [("along rows and columns", row.words, row, column) for row, column in zip(rows, columns, strict=True)]
    pairs += [("along the columns", row.words, row, columns[0]) for row in rows]
    pairs += [("along the rows", column.words, rows[0], column) for column in columns]
    for where, what, row, column in pairs:
        if not what:
            continue
        words = f"{where}, {what}"
        inside = _is_inside(row.places, shape[2]) and _is_inside(column.places, shape[3])
        for fill_words, mode in list(FILLS.items())[: 1 if inside else None]:
            yield words if inside else f"{words}; {fill_words}", _taking(row.places, column.places, mode)


def _samplings(length: int, side: int) -> list[_Sampling]:
    """The right pixels along an axis, and others."""
    count = -(-length // side)
    patch, pixel = np.arange(count)[:, None], np.arange(side)[None, :]
    found = [_Sampling("", patch * side + pixel)]
    for offset in (one for one in range(-side, side + 1) if one):
        many = f"{abs(offset)} pixel{'s' * (abs(offset) > 1)}"
        words = f"patches begin {many} {'earlier, as with padding' if offset < 0 else 'later'}"
        found.append(_Sampling(words, patch * side + pixel + offset))
    for dilation in (2, 3):
        reach = (dilation - 1) * (side - 1)
        for offset in sorted({0, -(reach // 2), -((reach + 1) // 2), -1}, reverse=True):
            begin = f", and begins {-offset} earlier" * (offset < 0)
            words = f"a patch has every {dilation}{'nd' if dilation == 2 else 'rd'} pixel (dilation {dilation}){begin}"
            found.append(_Sampling(words, patch * side + pixel * dilation + offset))
    for stride in sorted({1, max(side // 2, 1), side - 1, side + 1, 2 * side} - {0, side}):
        for offset in (0, -1, -(side // 2)):
            begin = f", the first begins {-offset} earlier" * (offset < 0)
            words = f"patches are {stride} apart, not {side} (stride {stride}){begin}"
            found.append(_Sampling(words, patch * stride + pixel + offset))
    words = "the pixels of a patch are H/p apart: the axis is split as (p, H/p), not (H/p, p)"
    found.append(_Sampling(words, pixel * count + patch))
    found.append(_Sampling("the pixels of each patch are in reversed order", patch * side + side - 1 - pixel))
    return found


def _is_inside(places: Array, length: int) -> bool:
    return bool(places.min() >= 0 and places.max() < length)


def _taking(rows: Array, columns: Array, mode: str) -> Callable[[Array], Array]:
    """The rearrangement to an image of the pixels at these rows and columns."""

    def rearrange(images: Array) -> Array:
        height, width = images.shape[2:]
        reach = max(-int(rows.min()), -int(columns.min()), 0)
        beyond = max(int(rows.max()) - height + 1, int(columns.max()) - width + 1, 0)
        padded = np.pad(images, ((0, 0), (0, 0), (reach, beyond), (reach, beyond)), mode=mode)  # type: ignore[call-overload]
        return padded[:, :, rows.reshape(-1) + reach][..., columns.reshape(-1) + reach]

    return rearrange
