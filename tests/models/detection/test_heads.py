"""The parts of a detector: their derivatives, compared with central differences."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from npswin.models.detection.box_head import BoxHead
from npswin.models.detection.fpn import FPN
from npswin.models.detection.mask_head import MaskHead
from npswin.models.detection.rpn_head import RPNHead
from npswin.models.detection.samples import RPNRule
from tests.gradient_errors import gradcheck_and_record
from tests.layers.drawn import draw_params
from tests.models.detection.joined import Joined
from tests.ops.drawn import SEEDS, SIDES, normal
from tests.thorough import examples

TOLERANCE = 5e-8


def check(name, target, inputs, layer, seed):
    draw_params(layer, seed)
    gradcheck_and_record(name, target, inputs, tolerance=TOLERANCE, max_coordinates=24, directions=2)


def maps(seed, batch, height, width, channels, levels):
    """Maps of so many levels, each half as large as the one before it, rounded up."""
    sizes = [(-(-height // 2**level), -(-width // 2**level)) for level in range(levels)]
    return [normal(seed + level, batch, *size, c) for level, (size, c) in enumerate(zip(sizes, channels, strict=True))]


@settings(max_examples=examples(8))
@given(
    SEEDS, st.integers(1, 2), st.integers(1, 9), st.integers(1, 9), st.lists(st.integers(1, 3), min_size=1, max_size=3)
)
def test_fpn(seed, batch, height, width, channels):
    layer = FPN(channels, 2, np.random.default_rng(seed), "float64")
    check("FPN", Joined(layer), maps(seed, batch, height, width, channels, len(channels)), layer, seed)


@settings(max_examples=examples(8))
@given(SEEDS, st.integers(1, 2), SIDES, SIDES, st.integers(1, 3))
def test_rpn_head(seed, batch, height, width, levels):
    strides, rule = [4 * 2**level for level in range(levels)], RPNRule("l1", False)
    layer = RPNHead(3, strides, 8, rule, np.random.default_rng(seed), "float64")
    check("RPNHead", Joined(layer), maps(seed, batch, height, width, [3] * levels, levels), layer, seed)


@settings(max_examples=examples(8))
@given(SEEDS, st.integers(2, 4), st.integers(0, 2), st.integers(1, 2), st.booleans())
def test_box_head(seed, rois, convs, linears, class_agnostic):
    layer = BoxHead(3, 3, 2, convs, linears, 5, class_agnostic, np.random.default_rng(seed), "float64")
    check("BoxHead", Joined(layer, is_list=False), normal(seed, rois, 3, 3, 3), layer, seed)


@settings(max_examples=examples(8))
@given(SEEDS, st.integers(1, 3), st.integers(1, 3), st.integers(1, 2))
def test_mask_head(seed, rois, side, convs):
    layer = MaskHead(3, 2, convs, np.random.default_rng(seed), "float64")
    check("MaskHead", layer, normal(seed, rois, side, side, 3), layer, seed)
