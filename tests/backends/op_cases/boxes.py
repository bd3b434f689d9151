"""Boxes, masks and RoIs, and the loss of boxes."""

import numpy as np
from hypothesis import strategies as st

from tests.backends.op_cases.case import CHANNELS, FEW, Case, generator, map_size, weights_and_divisor


def _box_count(draw, large):
    return 700 if large else draw(st.integers(0, 9))


def _boxes(rng, count):
    """Some apart from each other, some with a large overlap."""
    centres, sides = rng.uniform(0, 60, (count, 2)), rng.uniform(4, 60, (count, 2))
    return np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)


def giou_loss(draw, large):
    rng, count = generator(draw), _box_count(draw, large)
    boxes, targets = _boxes(rng, count), _boxes(rng, count)
    return Case([boxes, targets, *weights_and_divisor(draw, rng, count)], rng, length=max(count, 1))


def decode_boxes(draw, large):
    rng, count = generator(draw), _box_count(draw, large)
    deltas = draw(st.sampled_from([1, 20])) * rng.standard_normal((count, 4))
    return Case([deltas, _boxes(rng, count), (0.1, 0.15, 0.2, 0.3)], rng, least_scale=60)


def encode_boxes(draw, large):
    rng, count = generator(draw), _box_count(draw, large)
    return Case([_boxes(rng, count), _boxes(rng, count), (0.1, 0.15, 0.2, 0.3)], rng)


def box_iou(draw, large):
    rng = generator(draw)
    return Case([_boxes(rng, _box_count(draw, large)), _boxes(rng, draw(st.integers(0, 9)))], rng)


def nms(draw, large):
    rng, count = generator(draw), _box_count(draw, large)
    groups = draw(st.sampled_from([None, rng.integers(0, 3, count), rng.integers(-2, 2, count, np.int32)]))
    scores = rng.integers(0, 20, count) / 16
    return Case([_boxes(rng, count), scores, draw(st.sampled_from([0.3, 0.7])), groups], rng)


def paste_masks(draw, large):
    rng, count = generator(draw), draw(st.integers(0, 5))
    masks, boxes = rng.random((count, draw(FEW), draw(FEW))), _boxes(rng, count)
    size = draw(st.sampled_from([(37, 61), (90, 41)])) if large else (draw(FEW), draw(FEW))
    return Case([masks, boxes * draw(st.sampled_from([0.2, 1.0])), size], rng)


def roi_align(draw, large):
    rng, (batch, height, width) = generator(draw), map_size(draw, large)
    count, scale = 60 if large else draw(st.integers(0, 5)), draw(st.sampled_from([0.25, 1.0]))
    corners = np.stack([rng.uniform(-0.3, 1.3, (2, count)) * side / scale for side in (width, height)], axis=-1)
    corners = corners if draw(st.booleans()) else np.sort(corners, axis=0)  # the former has RoIs of negative sides
    rois = np.concatenate([rng.integers(0, batch, (count, 1)), *corners], axis=1)
    x = rng.standard_normal((batch, height, width, draw(CHANNELS)))
    size = draw(st.integers(1, 7)), draw(st.integers(1, 7))
    return Case([x, rois, size, scale, draw(st.integers(0, 3))], rng, length=max(height * width, count))


CASES = (
    box_iou,
    decode_boxes,
    encode_boxes,
    giou_loss,
    nms,
    paste_masks,
    roi_align,
)
