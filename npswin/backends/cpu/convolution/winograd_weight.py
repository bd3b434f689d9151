"""The derivative of a convolution by its weight, by Winograd's algorithm.

All of y = Aᵀ [ (G g Gᵀ) ⊙ (Bᵀ d B) ] A is linear in g, so its derivative is the transpose:

    dg = Gᵀ [ Σ_patches (A dy Aᵀ) ⊙ (Bᵀ d B) ] G

Patches of x and dy are transformed by chunks, which bounds the memory; then threads share rows of the 16 sums.
"""

from typing import Any, NamedTuple

import numpy as np

from npswin.backends.cpu.convolution.winograd import (
    PLACES,
    Patches,
    cut_into_patches,
    is_finite,
    load_or_zero,
    load_places,
    locate_entries,
    locate_patch,
    output_transform_transposed,
    store_places,
    transform_entries,
    weight_transform_transposed,
)
from npswin.backends.cpu.machine.arrays import flat
from npswin.backends.cpu.machine.compilation import inner_function, kernel
from npswin.backends.cpu.machine.flat_array import elements_at, stack_memory
from npswin.backends.cpu.machine.memory import pooled_empty
from npswin.backends.cpu.machine.processor import TILE_ROWS, round_up, vector_lanes
from npswin.backends.cpu.machine.threads import run_parallel
from npswin.backends.cpu.simd.intrinsics import broadcast, lanes_of, store
from npswin.backends.cpu.simd.matrix_product import lanes_product
from npswin.backends.cpu.simd.micro_kernel import FROM_OUTPUT, FROM_ZERO
from npswin.backends.cpu.tile.weight_gradient import BLOCK_BYTES
from npswin.types import Array

_CHUNK = 128  # patches: with fewer, the sums are read and written too often


class _Sizes(NamedTuple):
    """Channels, and how the work is cut.

    Attributes:
        inputs, outputs: channels of x and dy.
        input_row, output_row: numbers from one transformed patch to the next.
        chunk: patches that are transformed together.
        groups: of TILE_ROWS channels of dy.
    """

    inputs: int
    outputs: int
    input_row: int
    output_row: int
    chunk: int
    groups: int


@inner_function
def _locate_results(patch: int, p: Patches, channels: int, offsets: Array) -> None:
    """offsets[2i + j] = where result (i, j) of the patch starts in the target map, or −1 beyond it."""
    image, row, column = locate_patch(patch, p)
    for i in range(2):
        for j in range(2):
            h, w = 2 * row + i, 2 * column + j
            token = (image * p.height + h) * p.width + w
            offsets[2 * i + j] = token * channels if h < p.height and w < p.width else -1


@inner_function
def _transform_results(dy: Array, offsets: Array, channel: int, zero: Any, out: Array, at: int, plane: int) -> None:
    """out[at + place·plane] = A dy Aᵀ of a vector of channels."""
    c0 = output_transform_transposed(
        load_or_zero(dy, offsets[0], channel, zero), load_or_zero(dy, offsets[2], channel, zero)
    )
    c1 = output_transform_transposed(
        load_or_zero(dy, offsets[1], channel, zero), load_or_zero(dy, offsets[3], channel, zero)
    )
    store_places(out, at, plane, output_transform_transposed(c0[0], c1[0]))
    store_places(out, at + 4 * plane, plane, output_transform_transposed(c0[1], c1[1]))
    store_places(out, at + 8 * plane, plane, output_transform_transposed(c0[2], c1[2]))
    store_places(out, at + 12 * plane, plane, output_transform_transposed(c0[3], c1[3]))


@kernel
def _transform(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    chunk_first: int,
    x: Array,
    dy: Array,
    entries: Array,
    results: Array,
    p: Patches,
    s: _Sizes,
) -> None:
    """first, stop: patches of the chunk that begins with patch `chunk_first`."""
    vector, zero = lanes_of(x), broadcast(x.dtype.type(0))
    offsets = elements_at(stack_memory(8 * PLACES), 0, PLACES, np.int64)
    for patch in range(first, stop):
        locate_entries(chunk_first + patch, p, s.inputs, offsets)
        for c in range(0, s.inputs, vector):
            channel = min(c, s.inputs - vector)  # the last vector overlaps the one before
            at = patch * s.input_row + channel
            transform_entries(x, offsets, channel, zero, entries, at, s.chunk * s.input_row)
        _locate_results(chunk_first + patch, p, s.outputs, offsets)
        for c in range(0, s.outputs, vector):
            channel = min(c, s.outputs - vector)
            at = patch * s.output_row + channel
            _transform_results(dy, offsets, channel, zero, results, at, s.chunk * s.output_row)


@kernel
def _sum_products(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    patches: int,
    entries: Array,
    results: Array,
    sums: Array,
    s: _Sizes,
    overwrite: bool,
) -> None:
    """first, stop: groups of rows of the sums (16, O, I), of one place after the other."""
    begin = FROM_ZERO if overwrite else FROM_OUTPUT
    most = max(1, BLOCK_BYTES // (s.input_row * entries.itemsize * TILE_ROWS))
    work = first
    while work < stop:
        place, group = divmod(work, s.groups)
        groups = min(most, stop - work, s.groups - group)
        work += groups
        channel = group * TILE_ROWS
        left = (results, place * s.chunk * s.output_row + channel, 1, s.output_row)
        right = (entries, place * s.chunk * s.input_row, s.input_row)
        result = (sums, (place * s.outputs + channel) * s.input_row, s.input_row)
        rows = min(groups * TILE_ROWS, s.outputs - channel)
        lanes_product(rows, s.input_row, patches, left, right, result, begin, (entries, 0))


@inner_function
def _sum_column(sums: Array, at: int, plane: int, half: Any) -> Any:
    u0, u1, u2, u3 = load_places(sums, at, 4 * plane)
    return weight_transform_transposed(u0, u1, u2, u3, half)


@inner_function
def _store_row(out: Array, at: int, values: Any) -> None:
    vector = lanes_of(out)
    store(out, at, values[0])
    store(out, at + vector, values[1])
    store(out, at + 2 * vector, values[2])


@kernel
def _transform_sums(
    first: int, stop: int, part: int, scratch: Array, sums: Array, dweight: Array, s: _Sizes, checks: Array
) -> None:
    """first, stop: outputs; `checks` takes a vector for each, of 0 · result."""
    vector, plane = lanes_of(sums), s.outputs * s.input_row
    half, nothing = sums.dtype.type(0.5), sums.dtype.type(0)
    for output in range(first, stop):
        checked = broadcast(nothing)
        for c in range(0, s.inputs, vector):
            channel = min(c, s.inputs - vector)
            at = output * s.input_row + channel
            c0 = _sum_column(sums, at, plane, half)
            c1 = _sum_column(sums, at + plane, plane, half)
            c2 = _sum_column(sums, at + 2 * plane, plane, half)
            c3 = _sum_column(sums, at + 3 * plane, plane, half)
            g0 = weight_transform_transposed(c0[0], c1[0], c2[0], c3[0], half)
            g1 = weight_transform_transposed(c0[1], c1[1], c2[1], c3[1], half)
            g2 = weight_transform_transposed(c0[2], c1[2], c2[2], c3[2], half)
            checked = checked + (g0[0] + g0[1] + g0[2] + g1[0] + g1[1] + g1[2] + g2[0] + g2[1] + g2[2]) * nothing
            _store_row(scratch, 0, g0)
            _store_row(scratch, 3 * vector, g1)
            _store_row(scratch, 6 * vector, g2)
            out = (output * s.inputs + channel) * 9
            for lane in range(vector):
                for place in range(9):
                    dweight[out + lane * 9 + place] = scratch[place * vector + lane]
        store(checks, output * vector, checked)


def weight_gradient_by_winograd(x: Array, dy: Array, padding: int) -> tuple[Array, bool]:
    """dweight (O, I, 3, 3), and whether it is finite.

    Args:
        x: (B, H, W, I).
        dy: (B, H', W', O).
        padding: of the convolution.
    """
    dtype, inputs, outputs = x.dtype, x.shape[-1], dy.shape[-1]
    vector = vector_lanes(dtype.itemsize)
    patches = cut_into_patches(len(x), dy.shape[1:3], x.shape[1:3], -padding)
    input_row, output_row = round_up(inputs, vector), round_up(outputs, vector)
    chunk = min(_CHUNK, patches.total)
    sizes = _Sizes(inputs, outputs, input_row, output_row, chunk, -(-outputs // TILE_ROWS))
    entries, results = (pooled_empty(PLACES * chunk * row, dtype) for row in (input_row, output_row))
    sums = pooled_empty(PLACES * outputs * input_row, dtype)
    x, dy = flat(x), flat(dy)
    for first in range(0, patches.total, chunk):
        count = min(chunk, patches.total - first)
        run_parallel(_transform, count, 1, dtype, first, x, dy, entries, results, patches, sizes)
        groups = PLACES * sizes.groups
        run_parallel(_sum_products, groups, 1, dtype, count, entries, results, sums, sizes, first == 0)
    dweight, checks = pooled_empty((outputs, inputs, 3, 3), dtype), np.empty(outputs * vector, dtype)
    run_parallel(_transform_sums, outputs, 9 * vector, dtype, sums, dweight.reshape(-1), sizes, checks)
    return dweight, is_finite(checks)
