"""Ops of each number or token: linear maps, norms, activations, dropout and residual connections."""

import numpy as np
from hypothesis import strategies as st

from npswin import ops
from tests.backends.op_cases.case import (
    CHANNELS,
    Case,
    Seed,
    any_shape,
    draw_path_scale,
    dropout_mask,
    generator,
    lead_axes,
    map_size,
    maybe,
    norm_cancels,
    norm_parameters,
    product,
    weight_parameter,
)
from tests.ops.drawn import SEEDS


def linear(draw, large):
    rng, lead, inputs, outputs = generator(draw), lead_axes(draw, large), draw(CHANNELS), draw(CHANNELS)
    bias = maybe(draw, rng.standard_normal(outputs))
    args = [rng.standard_normal((*lead, inputs)), weight_parameter(rng, outputs, inputs), bias]
    return Case(args, rng, length=max(inputs, outputs, product(lead)))


def layer_norm(draw, large):
    rng, lead, channels = generator(draw), lead_axes(draw, large), draw(CHANNELS)
    x = draw(st.sampled_from([0.1, 1, 30])) * rng.standard_normal((*lead, channels)) + draw(st.sampled_from([0, 1]))
    case = Case([x, *norm_parameters(rng, channels)], rng, length=max(channels, product(lead)))
    if draw(st.booleans()):
        case.kwargs["eps"] = 0.01
    case.cancelled = norm_cancels(x, case.kwargs.get("eps", 1e-5))
    return case


def gelu(draw, large):
    rng, shape = generator(draw), any_shape(draw, large)
    x = draw(st.sampled_from([0.1, 1, 5])) * rng.standard_normal(shape)
    return Case([x], rng, least_scale=np.abs(x).max(), cancelled=1.0)


def relu(draw, large):
    rng, shape = generator(draw), any_shape(draw, large)
    return Case([np.round(rng.standard_normal(shape), 1)], rng)  # zeros among them


def softmax(draw, large):
    rng, shape = generator(draw), any_shape(draw, large)
    x = rng.standard_normal(shape)
    if draw(st.booleans()):
        x[..., 1:][rng.random(x[..., 1:].shape) < 0.3] = -np.inf
    return Case([x], rng, length=shape[-1], cancelled=ops.softmax_forward(x)[0].max())


def dropout(draw, large):
    rng, shape = generator(draw), any_shape(draw, large)
    return Case([rng.standard_normal(shape), dropout_mask(draw, rng, *shape)], rng)


def draw_mask(draw, large):
    """The definition and the backend get generators of the same seed, so they have to draw the same."""
    seed = draw(SEEDS)
    shape, rate = any_shape(draw, large), draw(st.sampled_from([0.0, 0.3, 0.9]))
    return Case([Seed(seed), shape, rate, np.float64], np.random.default_rng(0))


def residual(draw, large):
    rng, shape = generator(draw), (*map_size(draw, large), draw(CHANNELS))
    path_scale = draw_path_scale(draw, rng, shape[0])
    return Case([rng.standard_normal(shape), rng.standard_normal(shape), path_scale], rng)


CASES = (
    draw_mask,
    dropout,
    gelu,
    layer_norm,
    linear,
    relu,
    residual,
    softmax,
)
