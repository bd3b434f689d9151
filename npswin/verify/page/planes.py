"""The pictures of a tensor in the page, and their numbers as text; of a large tensor only some pictures."""

import base64
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from npswin.types import Array
from npswin.verify.page.views import View

RMS = -1  # number of the slice with the root mean square over all slices
OVERHEAD = 280  # bytes of a plane without its numbers
BLOCKS = 24  # rows and columns of an overview of a matrix, at most
MOST_PICTURES = 12  # of a tensor that is not drawn in full

Plane = dict[str, Any]
Part = tuple[Sequence[int], Sequence[int]]  # the edges of its rows and columns


def cost(pixels: int, bits: int) -> int:
    """Bytes of a plane of three pictures in base64."""
    return 3 * (4 * -(-pixels * bits // 8 // 3) + 4) + OVERHEAD


def full_cost(view: View, bits: int) -> int:
    """Bytes of all planes of a tensor."""
    images, slices, rows, columns = view.shape
    return images * (slices + (slices > 1)) * cost(rows * columns, bits)


def tensor_planes(view: View, key: Array, port: Array, bits: int, budget: int) -> list[Plane]:
    """The pictures of a tensor.

    Args:
        view: how it is drawn.
        key: the right tensor.
        port: the port's.
        bits: of a number, 8 or 16.
        budget: the most bytes of the pictures. If not all fit, those with the largest differences are chosen, and of a
            large picture a part, and the whole in coarse blocks.

    Returns:
        Each as its image, slice (`RMS` for the root mean square over all), rows and columns, and three lists [smallest,
        largest, codes] for the key, the port and the absolute difference. The page shows the first one first.
    """
    right, found = view.arrange(key), view.arrange(port)
    with np.errstate(all="ignore"):
        difference = np.where(found == right, 0.0, np.abs(found - right))
    pictures = _Pictures(view, (right, found, difference), bits)
    if full_cost(view, bits) <= budget:
        return list(pictures.all())
    return pictures.worst(budget)


class _Pictures:
    def __init__(self, view: View, tensors: tuple[Array, Array, Array], bits: int) -> None:
        self.view, self.tensors, self.bits = view, tensors, bits
        self.difference = np.where(np.isnan(tensors[2]), np.inf, tensors[2])
        peaks = self.difference.max(axis=(2, 3))
        self.images = [int(image) for image in np.argsort(-peaks.max(axis=1), kind="stable")]
        self.slices = np.argsort(-peaks, axis=1, kind="stable")

    def all(self) -> Iterator[Plane]:
        whole = [[0, side] for side in self.view.shape[2:]]
        for image in self.images:
            for number in self.order(image):
                yield self.plane(image, number, (whole[0], whole[1]))

    def order(self, image: int) -> list[int]:
        """An image's slices: the one with the largest difference, the root mean square, the others."""
        first, *others = (int(number) for number in self.slices[image])
        return [first, *[RMS] * bool(others), *others]

    def worst(self, budget: int) -> list[Plane]:
        """The pictures with the largest differences, within so many bytes."""
        image = self.images[0]
        order = self.order(image)
        rows, columns = self.view.shape[2:]
        several = len(order) > 1
        overview = self.blocks()
        left = budget - cost((len(overview[0]) - 1) * (len(overview[1]) - 1), self.bits)
        half = self.pixels(left / 2)
        part = self.part(image, order[0], half if half >= self.window() else self.pixels(left))
        cells = (part[0][-1] - part[0][0]) * (part[1][-1] - part[1][0])
        planes = [self.plane(image, order[0], part)]
        if cells < rows * columns:
            planes.append(self.plane(image, RMS if several else order[0], overview))
        else:
            left = budget
        each = cost(cells, self.bits)
        rest = [(image, number) for number in order[1:]]
        rest += [(other, number) for other in self.images[1:2] for number in self.order(other)[:4]]
        for other, number in rest[: max(0, min(MOST_PICTURES, left // each) - 1)]:
            planes.append(self.plane(other, number, part))
        return planes

    def pixels(self, size: float) -> int:
        """The number of pixels of a plane of so many bytes, at least one."""
        return max(1, int((size - OVERHEAD - 12) * 2 / self.bits))

    def window(self) -> int:
        """The number of pixels of a window, or of the whole picture if it has no windows."""
        rows, columns = self.blocks() if any(self.view.cuts) else ((0, side) for side in self.view.shape[2:])
        return int(np.diff(rows).max() * np.diff(columns).max())

    def blocks(self) -> Part:
        """The edges of an overview's blocks: windows, or equal parts of a matrix."""
        sides = self.view.shape[2:]
        if any(self.view.cuts):
            rows, columns = ([0, *cuts, side] for side, cuts in zip(sides, self.view.cuts, strict=True))
        else:
            rows, columns = (np.linspace(0, side, min(side, BLOCKS) + 1).astype(int).tolist() for side in sides)
        return rows, columns

    def part(self, image: int, number: int, pixels: int) -> Part:
        """Whole windows around the largest difference, or as much of one window as fits."""
        difference = self.difference[image, number]
        centre = np.unravel_index(int(difference.argmax()), difference.shape)
        edges = [[0, *cuts, side] for side, cuts in zip(difference.shape, self.view.cuts, strict=True)]
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

    def plane(self, image: int, number: int, part: Part) -> Plane:
        rows, columns = ([int(edge) for edge in edges] for edges in part)
        blocks = len(rows) > 2 or len(columns) > 2
        names = ("key", "port", "difference")
        plane: Plane = {"image": image, "slice": number, "rows": rows, "columns": columns, "blocks": blocks}
        for name, tensor in zip(names, self.tensors, strict=True):
            slices = tensor[image, :, rows[0] : rows[-1], columns[0] : columns[-1]]
            picture = _rms(slices, 0) if number == RMS else slices[number]
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

    The largest three codes stand for NaN, infinity and minus infinity; the others for equal steps from the smallest
    number to the largest. Where all numbers are equal there are no codes.
    """
    finite = np.isfinite(picture)
    all_finite = bool(finite.all())
    numbers = picture if all_finite else picture[finite]
    low, high = (float(numbers.min()), float(numbers.max())) if numbers.size else (0.0, 0.0)
    if low == high and all_finite:
        return [low, high, ""]
    top = 2**bits - 4
    span = high / 2 - low / 2  # without overflow
    with np.errstate(all="ignore"):
        codes = np.rint((picture / 2 - low / 2) / span * top) if span else np.zeros(picture.shape)
    if not all_finite:
        special = [np.isnan(picture), picture == np.inf, picture == -np.inf]
        codes = np.select(special, [top + 1, top + 2, top + 3], codes)
    return [low, high, base64.b64encode(codes.astype("<u1" if bits == 8 else "<u2").tobytes()).decode("ascii")]


def decode(coded: Sequence[Any], bits: int, shape: tuple[int, ...]) -> Array:
    """The numbers that `encode` was given, to half a step."""
    low, high, text = coded
    if not text:
        return np.full(shape, low)
    codes = np.frombuffer(base64.b64decode(text), "<u1" if bits == 8 else "<u2").reshape(shape).astype(np.int64)
    top = 2**bits - 4
    share = codes / top
    numbers = low * (1 - share) + high * share
    return np.select([codes == top + 1, codes == top + 2, codes == top + 3], [np.nan, np.inf, -np.inf], numbers)
