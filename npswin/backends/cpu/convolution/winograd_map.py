"""A convolution, or its derivative by x, by Winograd's algorithm.

The derivative by x is a convolution of dy, too: with the kernel turned round and with O and I exchanged,

    dx_hw = Σ_ij W_ijᵀ dy_(h+p−i)(w+p−j)

    source ──4×4 patches──▶ Bᵀ d B ──U, for each of 16 places──▶ products ──Aᵀ · A, + b──▶ target

The patches of a group go through all of that in working memory; only U, 16/9 of the weight, is made beforehand.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from npswin.backends.cpu.convolution.panels import DEPTH_STEP, PANEL, WeightLayout, gather_panel, weight_layout
from npswin.backends.cpu.convolution.winograd import (
    PLACES,
    Patches,
    cut_into_patches,
    is_finite,
    load_places,
    locate_entries,
    locate_patch,
    output_transform,
    store_places,
    transform_entries,
    weight_transform,
)
from npswin.backends.cpu.machine.arrays import flat, flat_or_full
from npswin.backends.cpu.machine.compilation import inner_function, kernel
from npswin.backends.cpu.machine.flat_array import elements_at, stack_memory
from npswin.backends.cpu.machine.memory import pooled_empty
from npswin.backends.cpu.machine.processor import TILE_ROWS, round_up, vector_lanes
from npswin.backends.cpu.machine.threads import run_parallel, thread_count
from npswin.backends.cpu.simd.intrinsics import broadcast, lanes_of, load, store
from npswin.backends.cpu.simd.matrix_product import lanes_product
from npswin.backends.cpu.simd.micro_kernel import FROM_OUTPUT, FROM_ZERO
from npswin.types import Array

_MOST_DEPTH = 512  # of one product
_MOST_PATCHES = 72  # in a group, so that most of its working memory is in the L2 cache


class _Sizes(NamedTuple):
    """How the work is cut.

    Attributes:
        depth: channels of the source.
        channels: of the target.
        panels: of U.
        group: patches that are transformed together.
        steps: parts of the depth that are transformed and multiplied one after the other.
        step: channels of the largest of these parts.
    """

    depth: int
    channels: int
    panels: int
    group: int
    steps: int
    step: int


@inner_function
def _kernel_column(kernel: Array, at: int, step: int, half: Any) -> Any:
    """G times a column of the kernel, which is `step` places from row to row."""
    return weight_transform(
        load(kernel, at), load(kernel, at + step * PANEL), load(kernel, at + 2 * step * PANEL), half
    )


@kernel
def _transform_weight(
    first: int, stop: int, part: int, scratch: Array, weight: Array, layout: WeightLayout, turned: bool, u: Array
) -> None:
    """first, stop: panels. u[place][panel][depth][lane] = G g Gᵀ, of the kernel turned round where it is `turned`."""
    depth, half = layout.depth, weight.dtype.type(0.5)
    plane = layout.panels * depth * PANEL
    offsets = elements_at(stack_memory(8 * PANEL), 0, PANEL, np.int64)
    origin, step = (8, -1) if turned else (0, 1)
    for panel in range(first, stop):
        for start in range(0, depth, DEPTH_STEP):
            count = min(DEPTH_STEP, depth - start)
            gather_panel(weight, layout, panel, start, count, scratch, offsets)
            for k in range(count):
                for lane in range(0, PANEL, lanes_of(weight)):
                    at = (k * 9 + origin) * PANEL + lane
                    c0 = _kernel_column(scratch, at, 3 * step, half)
                    c1 = _kernel_column(scratch, at + step * PANEL, 3 * step, half)
                    c2 = _kernel_column(scratch, at + 2 * step * PANEL, 3 * step, half)
                    out = (panel * depth + start + k) * PANEL + lane
                    store_places(u, out, plane, weight_transform(c0[0], c1[0], c2[0], half))
                    store_places(u, out + 4 * plane, plane, weight_transform(c0[1], c1[1], c2[1], half))
                    store_places(u, out + 8 * plane, plane, weight_transform(c0[2], c1[2], c2[2], half))
                    store_places(u, out + 12 * plane, plane, weight_transform(c0[3], c1[3], c2[3], half))


@inner_function
def _multiply(
    v: tuple[Array, int, int], u: Array, products: tuple[Array, int], patches: int, start: int, count: int, s: _Sizes
) -> None:
    """The products of all places with U, of a part of the depth, added to those of the parts before it."""
    entries, v_at, v_row = v
    out, out_at = products
    row = s.panels * PANEL
    begin = FROM_OUTPUT if start else FROM_ZERO
    for place in range(PLACES):
        for patch in range(0, patches, TILE_ROWS):
            rows = min(TILE_ROWS, patches - patch)
            left = (entries, v_at + (place * s.group + patch) * v_row, v_row, 1)
            for panel in range(s.panels):
                right = (u, ((place * s.panels + panel) * s.depth + start) * PANEL, PANEL)
                result = (out, out_at + (place * s.group + patch) * row + panel * PANEL, row)
                lanes_product(rows, PANEL, count, left, right, result, begin, (entries, 0))


@inner_function
def _product_column(products: Array, at: int, plane: int) -> Any:
    m0, m1, m2, m3 = load_places(products, at, 4 * plane)
    return output_transform(m0, m1, m2, m3)


@inner_function
def _store_result(target: Array, at: int, value: Any, on_map: bool) -> None:
    if on_map:
        store(target, at, value)


@kernel
def _convolve(
    first: int,
    stop: int,
    part: int,
    scratch: Array,
    source: Array,
    u: Array,
    bias: Array,
    target: Array,
    p: Patches,
    s: _Sizes,
    sums: Array,
) -> None:
    """first, stop: groups of patches; `sums` takes a vector for each, of 0 · result."""
    vector, row = lanes_of(source), s.panels * PANEL
    zero, nothing = broadcast(source.dtype.type(0)), source.dtype.type(0)
    entries, products = s.group * s.step, s.group * row  # numbers of one place
    offsets = elements_at(stack_memory(8 * PLACES), 0, PLACES, np.int64)
    for group in range(first, stop):
        patches = min(s.group, p.total - group * s.group)
        for step in range(s.steps):
            start = step * s.depth // s.steps // vector * vector
            count = ((step + 1) * s.depth // s.steps // vector * vector if step < s.steps - 1 else s.depth) - start
            for patch in range(patches):
                locate_entries(group * s.group + patch, p, s.depth, offsets)
                for c in range(0, count, vector):
                    channel = min(c, count - vector)  # the last vector overlaps the one before
                    at = patch * s.step + channel
                    transform_entries(source, offsets, start + channel, zero, scratch, at, entries)
            _multiply((scratch, 0, s.step), u, (scratch, PLACES * entries), patches, start, count, s)
        checked = zero
        for patch in range(patches):
            image, patch_row, patch_column = locate_patch(group * s.group + patch, p)
            token = (image * p.height + 2 * patch_row) * p.width + 2 * patch_column
            below, beside = 2 * patch_row + 1 < p.height, 2 * patch_column + 1 < p.width
            for c in range(0, s.channels, vector):
                channel = min(c, s.channels - vector)
                at = PLACES * entries + patch * row + channel
                c0 = _product_column(scratch, at, products)
                c1 = _product_column(scratch, at + products, products)
                c2 = _product_column(scratch, at + 2 * products, products)
                c3 = _product_column(scratch, at + 3 * products, products)
                b = load(bias, channel)
                y00, y01 = output_transform(c0[0], c1[0], c2[0], c3[0])
                y10, y11 = output_transform(c0[1], c1[1], c2[1], c3[1])
                checked = checked + (y00 + y01 + y10 + y11) * nothing
                out = token * s.channels + channel
                store(target, out, y00 + b)
                _store_result(target, out + s.channels, y01 + b, beside)
                _store_result(target, out + p.width * s.channels, y10 + b, below)
                _store_result(target, out + (p.width + 1) * s.channels, y11 + b, below and beside)
        store(sums, group * vector, checked)


@lru_cache(maxsize=256)
def _group_size(patches: int, threads: int) -> int:
    """Patches in a group, for little work of the busiest thread; a group costs as much as 4 patches more."""
    most = min(_MOST_PATCHES, -(-patches // threads // 4) * 4)
    return min(range(most, 0, -4), key=lambda size: -(-patches // size // threads) * (size + 4))


def convolve_by_winograd(
    source: Array, weight: Array, bias: Array | None, size: tuple[int, int], padding: int, transposed: bool
) -> tuple[Array, bool]:
    """The target map, and whether it is finite.

    Args:
        source: x (B, H, W, I), or dy (B, H', W', O) where it is transposed.
        weight: (O, I, 3, 3).
        bias: of the target's channels, or None.
        size: of the target.
        padding: of the convolution.
        transposed: whether dx is made of dy.
    """
    dtype, layout = source.dtype, weight_layout(weight.shape, transposed)
    u = pooled_empty(PLACES * layout.panels * layout.depth * PANEL, dtype)
    step = DEPTH_STEP * 9 * PANEL
    run_parallel(_transform_weight, layout.panels, step, dtype, flat(weight), layout, transposed, u)

    patches = cut_into_patches(len(source), size, source.shape[1:3], padding - 2 if transposed else -padding)
    vector, steps = vector_lanes(dtype.itemsize), -(-layout.depth // _MOST_DEPTH)
    step = round_up(-(-layout.depth // steps), vector) + vector
    sizes = _Sizes(layout.depth, layout.size, layout.panels, _group_size(patches.total, thread_count()), steps, step)
    groups = -(-patches.total // sizes.group)
    target, sums = pooled_empty((len(source), *size, layout.size), dtype), np.empty(groups * vector, dtype)
    run_parallel(
        *(_convolve, groups, PLACES * sizes.group * (step + layout.panels * PANEL), dtype),
        *(flat(source), u, flat_or_full(bias, layout.size, source), target.reshape(-1), patches, sizes, sums),
    )
    return target, is_finite(sums)
