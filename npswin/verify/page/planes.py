"""Which pictures of a tensor go into the page, and their numbers as text: few where there would be many."""

import base64
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.page.views import View

RMS = -1  # the slice that is the root mean square over all slices
COMMENT = 280  # bytes of a plane beside its numbers
BLOCKS = 24  # rows and columns of an overview of a matrix, at most
TAKEN = 12  # pictures of a thinned tensor, at most

Plane = dict[str, Any]
Part = tuple[Sequence[int], Sequence[int]]


def cost(pixels: int, bits: int) -> int:
    """Bytes of a plane: three pictures, four letters for three bytes."""
    return 3 * (4 * -(-pixels * bits // 8 // 3) + 4) + COMMENT


def full_cost(view: View, bits: int) -> int:
    """Bytes of all planes of a tensor."""
    images, slices, rows, columns = view.shape
    return images * (slices + (slices > 1)) * cost(rows * columns, bits)


def tensor_planes(view: View, key: Array, port: Array, bits: int, room: int) -> list[Plane]:
    """The pictures of a tensor.

    Args:
        view: how it is drawn.
        key: the right tensor.
        port: the port's.
        bits: 8 or 16, of a number.
        room: bytes that they may take; if not all fit, those with the largest differences are taken, and of a large
            picture a part, beside the whole one in coarse blocks.

    Returns:
        Each as its image, slice (`RMS` for the root mean square over all), rows and columns, and three lists [smallest,
        largest, codes] for the key, the port and the absolute difference. The first is the one to be shown first.
    """
    right, found = view.arrange(key), view.arrange(port)
    with np.errstate(all="ignore"):
        off = np.where(found == right, 0.0, np.abs(found - right))
    pictures = _Pictures(view, (right, found, off), bits)
    if full_cost(view, bits) <= room:
        return list(pictures.all())
    return pictures.worst(room)


class _Pictures:
    def __init__(self, view: View, tensors: tuple[Array, Array, Array], bits: int) -> None:
        self.view, self.tensors, self.bits = view, tensors, bits
        self.off = np.where(np.isnan(tensors[2]), np.inf, tensors[2])
        peaks = self.off.max(axis=(2, 3))
        self.images = [int(image) for image in np.argsort(-peaks.max(axis=1), kind="stable")]
        self.slices = np.argsort(-peaks, axis=1, kind="stable")

    def all(self) -> Iterator[Plane]:
        whole = [[0, side] for side in self.view.shape[2:]]
        for image in self.images:
            for place in self.order(image):
                yield self.plane(image, place, (whole[0], whole[1]))

    def order(self, image: int) -> list[int]:
        """An image's slices: the worst one, the root mean square, the others."""
        first, *others = (int(place) for place in self.slices[image])
        return [first, *[RMS] * bool(others), *others]

    def worst(self, room: int) -> list[Plane]:
        image = self.images[0]
        order = self.order(image)
        rows, columns = self.view.shape[2:]
        several = len(order) > 1
        overview = self.blocks()
        left = room - cost((len(overview[0]) - 1) * (len(overview[1]) - 1), self.bits)
        half = self.pixels(left / 2)
        part = self.part(image, order[0], half if half >= self.window() else self.pixels(left))
        cut = (part[0][-1] - part[0][0]) * (part[1][-1] - part[1][0])
        planes = [self.plane(image, order[0], part)]
        if cut < rows * columns:
            planes.append(self.plane(image, RMS if several else order[0], overview))
        else:
            left = room
        each = cost(cut, self.bits)
        rest = [(image, place) for place in order[1:]]
        rest += [(other, place) for other in self.images[1:2] for place in self.order(other)[:4]]
        for other, place in rest[: max(0, min(TAKEN, left // each) - 1)]:
            planes.append(self.plane(other, place, part))
        return planes

    def pixels(self, room: float) -> int:
        """How many a plane of so many bytes has, at least one."""
        return max(1, int((room - COMMENT - 12) * 2 / self.bits))

    def window(self) -> int:
        """Pixels of a whole window, or of the whole picture."""
        rows, columns = self.blocks() if any(self.view.cuts) else ((0, side) for side in self.view.shape[2:])
        return int(np.diff(rows).max() * np.diff(columns).max())

    def blocks(self) -> Part:
        """Rows and columns where an overview's blocks begin and end: windows, or a matrix in equal pieces."""
        sides = self.view.shape[2:]
        if any(self.view.cuts):
            rows, columns = ([0, *cuts, side] for side, cuts in zip(sides, self.view.cuts, strict=True))
        else:
            rows, columns = (np.linspace(0, side, min(side, BLOCKS) + 1).astype(int).tolist() for side in sides)
        return rows, columns

    def part(self, image: int, place: int, pixels: int) -> Part:
        """Whole windows about the largest difference, or what fits of one."""
        off = self.off[image, place]
        centre = np.unravel_index(int(off.argmax()), off.shape)
        edges = [[0, *cuts, side] for side, cuts in zip(off.shape, self.view.cuts, strict=True)]
        first = [_segment(axis, int(at)) for axis, at in zip(edges, centre, strict=True)]
        if math.prod(axis[i + 1] - axis[i] for axis, i in zip(edges, first, strict=True)) > pixels:
            edges = [list(range(axis[i], axis[i + 1] + 1)) for axis, i in zip(edges, first, strict=True)]
            first = [_segment(axis, int(at)) for axis, at in zip(edges, centre, strict=True)]
        low, high = list(first), [i + 1 for i in first]
        grown = True
        while grown:
            grown = False
            for axis in sorted((0, 1), key=lambda axis: edges[axis][high[axis]] - edges[axis][low[axis]]):
                for ends, step, stop in ((high, 1, len(edges[axis]) - 1), (low, -1, 0)):
                    if ends[axis] != stop:
                        ends[axis] += step
                        sides = [along[high[i]] - along[low[i]] for i, along in enumerate(edges)]
                        if math.prod(sides) <= pixels:
                            grown = True
                        else:
                            ends[axis] -= step
                if grown:
                    break
        found = [[axis[low[i]], axis[high[i]]] for i, axis in enumerate(edges)]
        return found[0], found[1]

    def plane(self, image: int, place: int, part: Part) -> Plane:
        rows, columns = ([int(edge) for edge in edges] for edges in part)
        blocks = len(rows) > 2 or len(columns) > 2
        names = ("key", "port", "difference")
        plane: Plane = {"image": image, "slice": place, "rows": rows, "columns": columns, "blocks": blocks}
        for name, tensor in zip(names, self.tensors, strict=True):
            there = tensor[image, :, rows[0] : rows[-1], columns[0] : columns[-1]]
            picture = _rms(there, 0) if place == RMS else there[place]
            if blocks:
                picture = _block_rms(picture, rows, columns)
            plane[name] = encode(picture, self.bits)
        return {**plane, "bits": self.bits}


def _segment(edges: Sequence[int], at: int) -> int:
    return int(np.searchsorted(edges, at, side="right")) - 1


def _rms(array: Array, axis: int) -> Array:
    with np.errstate(all="ignore"):
        return np.sqrt(np.mean(array * array, axis=axis))


def _block_rms(picture: Array, rows: Sequence[int], columns: Sequence[int]) -> Array:
    areas = np.outer(np.diff(rows), np.diff(columns))
    with np.errstate(all="ignore"):
        sums = np.add.reduceat(np.add.reduceat(picture * picture, rows[:-1], axis=0), columns[:-1], axis=1)
        return np.sqrt(sums / areas)


def encode(picture: Array, bits: int) -> list[Any]:
    """Numbers as [smallest, largest, codes]: base64 of integers, little-endian, in C order.

    The largest three codes are NaN, infinity and its opposite; the others stand in equal steps from the smallest number
    to the largest. Where all numbers are the same there are no codes.
    """
    finite = np.isfinite(picture)
    low, high = (float(end(picture[finite])) if finite.any() else 0.0 for end in (np.min, np.max))
    if low == high and finite.all():
        return [low, high, ""]
    top = 2**bits - 4
    span = high / 2 - low / 2  # without overflow
    with np.errstate(all="ignore"):
        codes = np.rint((picture / 2 - low / 2) / span * top) if span else np.zeros(picture.shape)
    codes = np.select([np.isnan(picture), picture == np.inf, picture == -np.inf], [top + 1, top + 2, top + 3], codes)
    return [low, high, base64.b64encode(codes.astype("<u1" if bits == 8 else "<u2").tobytes()).decode("ascii")]


def decode(coded: Sequence[Any], bits: int, shape: tuple[int, ...]) -> Array:
    """The numbers of `encode`, to half a step."""
    low, high, text = coded
    if not text:
        return np.full(shape, low)
    codes = np.frombuffer(base64.b64decode(text), "<u1" if bits == 8 else "<u2").reshape(shape).astype(np.int64)
    top = 2**bits - 4
    share = codes / top
    numbers = low * (1 - share) + high * share
    return np.select([codes == top + 1, codes == top + 2, codes == top + 3], [np.nan, np.inf, -np.inf], numbers)
