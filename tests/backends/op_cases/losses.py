"""Losses of classes, pixels and deltas of boxes."""

import numpy as np
from hypothesis import strategies as st

from tests.backends.op_cases.case import (
    CHANNELS,
    FEW,
    Case,
    any_shape,
    generator,
    lead_axes,
    map_size,
    weights_and_divisor,
)


def cross_entropy(draw, large):
    rng, rows, classes = generator(draw), draw(st.integers(1, 400 if large else 9)), draw(st.integers(1, 300))
    targets = rng.random((rows, classes))
    if draw(st.booleans()):
        targets = np.eye(classes)[rng.integers(classes, size=rows)]
    targets *= draw(st.sampled_from([1, 0.7])) / targets.sum(axis=1, keepdims=True)
    logits = draw(st.sampled_from([1, 20])) * rng.standard_normal((rows, classes)) + draw(st.sampled_from([0, 1000]))
    return Case([logits, targets], rng, length=classes)


def sigmoid_cross_entropy(draw, large):
    rng, shape = generator(draw), any_shape(draw, large)
    logits = draw(st.sampled_from([1, 20])) * rng.standard_normal(shape)
    args = [logits, rng.random(shape), *weights_and_divisor(draw, rng, *shape)]
    return Case(args, rng, length=logits.size)


def pixel_cross_entropy(draw, large):
    rng, lead, classes = generator(draw), lead_axes(draw, large), draw(CHANNELS)
    logits = draw(st.sampled_from([1, 20])) * rng.standard_normal((*lead, classes))
    labels = np.asarray(rng.integers(0, classes, lead))
    labels[rng.random(lead) < 0.2] = draw(st.sampled_from([255, 300]))
    labels = labels.astype(draw(st.sampled_from([np.int64, np.int32, np.uint16])))
    weights, divisor = weights_and_divisor(draw, rng, *lead)
    weights = None if weights is None else np.asarray(weights)
    return Case([logits, labels, weights, max(labels.max(initial=0), 255), divisor], rng, length=logits.size)


def resized_cross_entropy(draw, large):
    rng, size, classes, out_size = generator(draw), map_size(draw, large), draw(CHANNELS), (draw(FEW), draw(FEW))
    logits = draw(st.sampled_from([1, 20])) * rng.standard_normal((*size, classes))
    labels = rng.integers(0, classes, (size[0], *out_size))
    labels[rng.random(labels.shape) < 0.2] = 255
    return Case([logits, labels, 255], rng, length=labels.size * classes)


def _deviations_of_boxes(draw, large):
    rng, shape = generator(draw), any_shape(draw, large)
    x, targets = rng.standard_normal(shape), rng.standard_normal(shape)
    return Case([x, targets, *weights_and_divisor(draw, rng, *shape)], rng, length=x.size)


def l1_loss(draw, large):
    return _deviations_of_boxes(draw, large)


def smooth_l1_loss(draw, large):
    case = _deviations_of_boxes(draw, large)
    case.args.append(draw(st.sampled_from([1 / 9, 1.0])))
    return case


CASES = (
    cross_entropy,
    l1_loss,
    pixel_cross_entropy,
    resized_cross_entropy,
    sigmoid_cross_entropy,
    smooth_l1_loss,
)
