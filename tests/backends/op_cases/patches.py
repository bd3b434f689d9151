"""Patches: embedded, merged, and their positions."""

from hypothesis import strategies as st

from npswin import ops
from tests.backends.op_cases.case import (
    CHANNELS,
    FEW,
    Case,
    generator,
    map_size,
    maybe,
    norm_cancels,
    norm_parameters,
    product,
    weight_parameter,
)


def patch_embed(draw, large):
    rng, (batch, height, width), outputs = generator(draw), map_size(draw, large), draw(CHANNELS)
    in_chans, side = draw(st.integers(1, 4)), draw(st.integers(1, 2 if large else 5))
    images = rng.standard_normal((batch, in_chans, height, width))
    bias = maybe(draw, rng.standard_normal(outputs))
    length = max(in_chans * side**2, outputs, batch * height * width)
    return Case([images, weight_parameter(rng, outputs, in_chans, side, side), bias], rng, length=length)


def patch_concat(draw, large):
    rng, size = generator(draw), map_size(draw, large)
    return Case([rng.standard_normal((*size, draw(CHANNELS)))], rng)


def patch_merging(draw, large):
    rng, size, channels = generator(draw), map_size(draw, large), draw(st.integers(1, 50))
    args = [
        rng.standard_normal((*size, channels)),
        *draw(st.sampled_from([norm_parameters(rng, 4 * channels), [None, None]])),
        weight_parameter(rng, 2 * channels, 4 * channels),
        maybe(draw, rng.standard_normal(2 * channels)),
    ]
    cancelled = 0.0 if args[1] is None else norm_cancels(ops.patch_concat_forward(args[0])[0])
    return Case(args, rng, length=max(4 * channels, product(size)), cancelled=cancelled)


def position_embed(draw, large):
    rng, (batch, height, width), channels = generator(draw), map_size(draw, large), draw(CHANNELS)
    grid = draw(st.sampled_from([(height, width), (draw(FEW), draw(FEW))]))
    args = [
        rng.standard_normal((batch, height, width, channels)),
        rng.standard_normal((1, grid[0] * grid[1], channels)),
    ]
    return Case([*args, grid], rng, length=max(height, width, *grid))


CASES = (
    patch_concat,
    patch_embed,
    patch_merging,
    position_embed,
)
