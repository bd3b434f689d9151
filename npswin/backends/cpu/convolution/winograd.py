"""Winograd's algorithm F(2×2, 3×3) for convolutions with kernels of 3×3 and stride 1 (Lavin and Gray 2016, section 4).

A patch of 2×2 results of one channel is made of 4×4 entries d and of a kernel g of 3×3 by 16 products instead of 36:

    y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A

    Bᵀ = ⎡ 1  0 −1  0 ⎤    G = ⎡ 1   0   0 ⎤    Aᵀ = ⎡ 1  1  1  0 ⎤
         ⎢ 0  1  1  0 ⎥        ⎢ ½   ½   ½ ⎥         ⎣ 0  1 −1  1 ⎦
         ⎢ 0 −1  1  0 ⎥        ⎢ ½  −½   ½ ⎥
         ⎣ 0 −1  0  1 ⎦        ⎣ 0   0   1 ⎦

Summed over input channels, each of the 16 places is a matrix product of all patches with a matrix U = G g Gᵀ: a factor
of 2.25 fewer products, besides transforms that only add. Sums are shorter, too, and the errors in float32 no larger
than those of the sum over nine places: 0.6 times as large, measured on maps of 64 to 1024 channels.

A sum of several entries that are not finite is no result of the convolution. So each result is looked at, and where
there is one that is not finite, all is computed again by the definition's sums: `is_finite`.
"""

from typing import Any, NamedTuple

import numpy as np

from npswin.backends.cpu.machine.compilation import inner_function
from npswin.backends.cpu.machine.processor import vector_lanes
from npswin.backends.cpu.machine.threads import refuse_recording
from npswin.backends.cpu.simd.intrinsics import load, store
from npswin.types import Array

PLACES = 16  # of a transformed patch
_LEAST_PATCHES = 32  # with fewer of them, transforming the weights takes longer than what is saved
_WORTHWHILE = (
    7  # places of the kernel, of nine, whose products take as long as Winograd's algorithm with its transforms
)


class Patches(NamedTuple):
    """How a target map is cut into patches of 2×2, and which entries of the source map each is made of.

    Attributes:
        rows, columns: of patches, on one image.
        total: of all images.
        offset: the patch in row r begins with the source's row 2r + offset, and likewise for columns.
        height, width: of the target.
        source_height, source_width: of the source.
    """

    rows: int
    columns: int
    total: int
    offset: int
    height: int
    width: int
    source_height: int
    source_width: int


def cut_into_patches(images: int, size: tuple[int, int], source_size: tuple[int, int], offset: int) -> Patches:
    """The patches of target maps of this size."""
    rows, columns = -(-size[0] // 2), -(-size[1] // 2)
    return Patches(rows, columns, images * rows * columns, offset, *size, *source_size)


def is_worthwhile(x: Array, weight: Array, size_out: tuple[int, int], stride: int) -> bool:
    """Whether a convolution is computed by this algorithm, forward and backward."""
    outputs, inputs, *kernel_size = weight.shape
    patches = -(-size_out[0] // 2) * -(-size_out[1] // 2)
    return (
        kernel_size == [3, 3]
        and stride == 1
        and min(inputs, outputs) >= vector_lanes(x.itemsize)
        and len(x) * patches >= _LEAST_PATCHES
        and PLACES * patches < _WORTHWHILE * size_out[0] * size_out[1]
    )


@inner_function
def input_transform(a: Any, b: Any, c: Any, d: Any) -> Any:
    """Bᵀ (a, b, c, d)ᵀ."""
    return a - c, b + c, c - b, d - b


@inner_function
def weight_transform(a: Any, b: Any, c: Any, half: Any) -> Any:
    """G (a, b, c)ᵀ."""
    outer, middle = (a + c) * half, b * half
    return a, outer + middle, outer - middle, c


@inner_function
def weight_transform_transposed(a: Any, b: Any, c: Any, d: Any, half: Any) -> Any:
    """Gᵀ (a, b, c, d)ᵀ."""
    both = (b + c) * half
    return a + both, (b - c) * half, both + d


@inner_function
def output_transform(a: Any, b: Any, c: Any, d: Any) -> Any:
    """Aᵀ (a, b, c, d)ᵀ."""
    return a + b + c, b - c + d


@inner_function
def output_transform_transposed(a: Any, b: Any) -> Any:
    """A (a, b)ᵀ."""
    return a, a + b, a - b, b


@inner_function
def locate_patch(patch: int, p: Patches) -> tuple[int, int, int]:
    """Its image, its row and its column."""
    image, place = divmod(patch, p.rows * p.columns)
    row, column = divmod(place, p.columns)
    return image, row, column


@inner_function
def locate_entries(patch: int, p: Patches, channels: int, offsets: Array) -> None:
    """offsets[4i + j] = where entry (i, j) of the source's 4×4 starts, or −1 beyond the map."""
    image, row, column = locate_patch(patch, p)
    for i in range(4):
        h = 2 * row + p.offset + i
        for j in range(4):
            w = 2 * column + p.offset + j
            on_map = 0 <= h < p.source_height and 0 <= w < p.source_width
            token = (image * p.source_height + h) * p.source_width + w
            offsets[4 * i + j] = token * channels if on_map else -1


@inner_function
def load_or_zero(x: Array, offset: int, channel: int, zero: Any) -> Any:
    """A vector of an entry's channels, or zeros beyond the map."""
    return load(x, offset + channel) if offset >= 0 else zero


@inner_function
def load_places(x: Array, at: int, step: int) -> Any:
    """Four vectors, at places `step` apart."""
    return load(x, at), load(x, at + step), load(x, at + 2 * step), load(x, at + 3 * step)


@inner_function
def store_places(out: Array, at: int, step: int, values: Any) -> None:
    """Four vectors, to places `step` apart."""
    store(out, at, values[0])
    store(out, at + step, values[1])
    store(out, at + 2 * step, values[2])
    store(out, at + 3 * step, values[3])


@inner_function
def _input_column(x: Array, offsets: Array, j: int, channel: int, zero: Any) -> Any:
    return input_transform(
        load_or_zero(x, offsets[j], channel, zero),
        load_or_zero(x, offsets[4 + j], channel, zero),
        load_or_zero(x, offsets[8 + j], channel, zero),
        load_or_zero(x, offsets[12 + j], channel, zero),
    )


@inner_function
def transform_entries(x: Array, offsets: Array, channel: int, zero: Any, out: Array, at: int, plane: int) -> None:
    """out[at + place·plane] = Bᵀ d B of a vector of channels, for each of the 16 places."""
    c0 = _input_column(x, offsets, 0, channel, zero)
    c1 = _input_column(x, offsets, 1, channel, zero)
    c2 = _input_column(x, offsets, 2, channel, zero)
    c3 = _input_column(x, offsets, 3, channel, zero)
    store_places(out, at, plane, input_transform(c0[0], c1[0], c2[0], c3[0]))
    store_places(out, at + 4 * plane, plane, input_transform(c0[1], c1[1], c2[1], c3[1]))
    store_places(out, at + 8 * plane, plane, input_transform(c0[2], c1[2], c2[2], c3[2]))
    store_places(out, at + 12 * plane, plane, input_transform(c0[3], c1[3], c2[3], c3[3]))


def is_finite(sums: Array) -> bool:
    """Whether all results were finite of which kernels summed 0 · result."""
    refuse_recording("the algorithm of a convolution of 3×3")
    return bool(np.isfinite(sums).all())
