"""The weight of a convolution as the right operand of a product: panels of results in lanes.

A map has a token's channels side by side, and it is read where it lies: its tokens are the rows of a product's left
operand. So the results' channels are the lanes. A weight (O, I, kh, kw) has neither of its first two axes contiguous;
it is copied once a call, into panels of PANEL outputs

    panels[place][o // PANEL][i][o % PANEL] = weight[o, i, place]

each of which is read from its first number to its last one. That is a small part of the work: each weight is used for
every token. For the derivative by x, O and I change places.
"""

from typing import NamedTuple

import numpy as np

from npswin.backends.cpu.machine.arrays import flat
from npswin.backends.cpu.machine.compilation import inner_function, kernel
from npswin.backends.cpu.machine.flat_array import elements_at, stack_memory
from npswin.backends.cpu.machine.memory import pooled_empty
from npswin.backends.cpu.machine.threads import run_parallel
from npswin.backends.cpu.simd.intrinsics import lanes_of, load, store
from npswin.backends.cpu.tile.lanes import gather
from npswin.types import Array

PANEL = 32  # a multiple of two vectors of any processor
DEPTH_STEP = 16  # of the axis that is summed over: so much is turned into lanes at once


class WeightLayout(NamedTuple):
    """Which axis of a weight (O, I, kh, kw) is in lanes.

    Attributes:
        size: of the axis that is in lanes.
        depth: size of the other one, along which products are summed.
        stride, depth_stride: numbers from one entry of these axes to the next.
        places: kh·kw.
        panels: that hold the lanes.
    """

    size: int
    depth: int
    stride: int
    depth_stride: int
    places: int
    panels: int


def weight_layout(shape: tuple[int, ...], transposed: bool) -> WeightLayout:
    """The layout of a weight (O, I, kh, kw) with O in lanes, or with I where it is transposed."""
    outputs, inputs, height, width = shape
    places = height * width
    axes = (outputs, inputs * places), (inputs, places)
    (size, stride), (depth, depth_stride) = axes[::-1] if transposed else axes
    return WeightLayout(size, depth, stride, depth_stride, places, -(-size // PANEL))


@inner_function
def gather_panel(
    weight: Array, layout: WeightLayout, panel: int, first: int, count: int, out: Array, offsets: Array
) -> None:
    """out[(k·places + place)·PANEL + lane] = the weight of this lane of the panel, of depth first + k, at this place.

    Lanes beyond the last one of the axis get the first one's weights.

    Args:
        weight: flat.
        layout: its layout.
        panel: which.
        first, count: a range of the axis that is summed over.
        out: filled.
        offsets: working memory for PANEL integers.
    """
    run = count if layout.depth_stride == layout.places else 1  # entries of that axis that lie side by side
    for k in range(0, count, run):
        for lane in range(PANEL):
            row = panel * PANEL + lane
            offsets[lane] = (row if row < layout.size else 0) * layout.stride + (first + k) * layout.depth_stride
        gather(weight, offsets, PANEL, layout.places * run, (out, k * layout.places * PANEL, PANEL))


@kernel
def _pack(first: int, stop: int, part: int, scratch: Array, weight: Array, layout: WeightLayout, panels: Array) -> None:
    """first, stop: panels."""
    places, depth = layout.places, layout.depth
    offsets = elements_at(stack_memory(8 * PANEL), 0, PANEL, np.int64)
    for panel in range(first, stop):
        for start in range(0, depth, DEPTH_STEP):
            count = min(DEPTH_STEP, depth - start)
            gather_panel(weight, layout, panel, start, count, scratch, offsets)
            for k in range(count):
                for place in range(places):
                    at = ((place * layout.panels + panel) * depth + start + k) * PANEL
                    for lane in range(0, PANEL, lanes_of(weight)):
                        store(panels, at + lane, load(scratch, (k * places + place) * PANEL + lane))


def pack_panels(weight: Array, transposed: bool) -> tuple[Array, WeightLayout]:
    """The panels of a weight (O, I, kh, kw), flat: with O in lanes, or with I where it is transposed."""
    layout = weight_layout(weight.shape, transposed)
    panels = pooled_empty(layout.places * layout.panels * layout.depth * PANEL, weight.dtype)
    step = DEPTH_STEP * layout.places * PANEL
    run_parallel(_pack, layout.panels, step, weight.dtype, flat(weight), layout, panels)
    return panels, layout
