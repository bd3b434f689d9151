"""Hypothesis strategies for the augmentations."""

import numpy as np
from hypothesis import strategies as st

from npswin.data.samples import IGNORED, DetectionSample, SegmentationSample
from npswin.data.tight_boxes import tight_boxes

SEEDS = st.integers(0, 2**32)


@st.composite
def batches(draw, dtypes=(np.uint8, np.uint16, np.float32, np.float64), channels=(1, 2, 3, 4, 11)):
    """Images (B, c, H, W): normal floats, of which no two are equal, or random whole numbers."""
    shape = (
        draw(st.integers(1, 6)),
        draw(st.sampled_from(channels)),
        draw(st.integers(1, 12)),
        draw(st.integers(1, 12)),
    )
    rng = np.random.default_rng(draw(SEEDS))
    dtype = draw(st.sampled_from(dtypes))
    if np.issubdtype(dtype, np.integer):
        return rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    return rng.standard_normal(shape).astype(dtype)


BATCHES = batches()
BYTE_BATCHES = batches(dtypes=(np.uint8,), channels=(3,))


@st.composite
def segmentation_samples(draw, channels=(1, 2, 3, 5)):
    """Random pixels and labels, some of which are ignored."""
    height, width, rng = draw(st.integers(1, 30)), draw(st.integers(1, 30)), np.random.default_rng(draw(SEEDS))
    image = rng.integers(0, 256, (draw(st.sampled_from(channels)), height, width), np.uint8)
    dtype = draw(st.sampled_from((np.uint8, np.int64)))
    return SegmentationSample(image, rng.choice([0, 1, 2, 7, IGNORED], (height, width)).astype(dtype))


@st.composite
def detection_samples(draw, channels=(1, 2, 3, 5), with_masks=(True, False), rectangles=False):
    """Random pixels and objects, which are rectangles or random pixels within them; their boxes are tight."""
    height, width, rng = draw(st.integers(2, 30)), draw(st.integers(2, 30)), np.random.default_rng(draw(SEEDS))
    image = rng.integers(0, 256, (draw(st.sampled_from(channels)), height, width), np.uint8)
    masks = np.zeros((draw(st.integers(0, 5)), height, width), bool)
    for mask in masks:
        top, left = rng.integers(0, height), rng.integers(0, width)
        mask[top : rng.integers(top, height) + 1, left : rng.integers(left, width) + 1] = True
        mask &= rectangles | (rng.random(mask.shape) < 0.7)
    masks = masks[masks.any(axis=(1, 2))]
    boxes = tight_boxes(masks).astype(draw(st.sampled_from((np.float32, np.float64))))
    labels, crowd = rng.integers(0, 9, len(masks)), rng.random(len(masks)) < 0.3
    return DetectionSample(image, boxes, labels, masks if draw(st.sampled_from(with_masks)) else None, crowd)


SAMPLES = segmentation_samples() | detection_samples()
