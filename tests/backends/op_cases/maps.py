"""Ops of whole maps: convolutions, batch norm, pooling and resizing."""

import numpy as np
from hypothesis import strategies as st

from npswin import ops
from tests.backends.op_cases.case import (
    CHANNELS,
    FEW,
    SIDES,
    Case,
    any_shape,
    generator,
    map_size,
    maybe,
    norm_parameters,
    product,
    weight_parameter,
)


def conv2d(draw, large):
    rng, (batch, height, width) = generator(draw), map_size(draw, large)
    inputs, outputs, padding = draw(CHANNELS), draw(CHANNELS), draw(st.integers(0, 3))
    kernel = draw(st.sampled_from([(3, 3), (3, 3), (1, 1), (5, 5), (1, 3), (5, 1)]))
    rows, columns = (
        min(k, (side + 2 * padding - 1) // 2 * 2 + 1) for k, side in zip(kernel, (height, width), strict=True)
    )
    args = [
        rng.standard_normal((batch, height, width, inputs)),
        weight_parameter(rng, outputs, inputs, rows, columns),
        maybe(draw, rng.standard_normal(outputs)),
        draw(st.sampled_from([1, 1, 2, 3])),
        padding,
    ]
    return Case(args, rng, length=max(rows * columns * max(inputs, outputs), batch * height * width))


def resized_conv2d(draw, large):
    rng, size, inputs, outputs = generator(draw), map_size(draw, large), draw(CHANNELS), draw(CHANNELS)
    side, out_size = draw(st.sampled_from([1, 3, 5])), (draw(FEW), draw(FEW))
    args = [rng.standard_normal((*size, inputs)), weight_parameter(rng, outputs, inputs, side, side), out_size]
    return Case(args, rng, length=max(side**2 * max(inputs, outputs), size[0] * product(out_size)))


def conv_transpose2d(draw, large):
    rng, size, inputs, outputs, side = (
        generator(draw),
        map_size(draw, large),
        draw(CHANNELS),
        draw(CHANNELS),
        draw(SIDES),
    )
    args = [
        rng.standard_normal((*size, inputs)),
        np.moveaxis(weight_parameter(rng, outputs, side, side, inputs), -1, 0),
        maybe(draw, rng.standard_normal(outputs)),
    ]
    return Case(args, rng, length=max(inputs, outputs * side**2, product(size) * side**2))


def _batch(draw, large):
    """A generator, a map of pixels, and the mean and variance of each channel."""
    rng, shape = generator(draw), any_shape(draw, large)
    x = draw(st.sampled_from([0.1, 1, 30])) * rng.standard_normal(shape) + draw(st.sampled_from([0, 1]))
    return rng, x, *ops.batch_norm_moments(x)[1:]


def batch_norm(draw, large):
    rng, x, mean, variance = _batch(draw, large)
    kwargs = {"eps": draw(st.sampled_from([1e-5, 0.01])), "constant": draw(st.booleans())}
    pixels, largest = product(x.shape[:-1]), np.abs(mean).max() / np.sqrt(variance.min() + kwargs["eps"])
    args = [x, *norm_parameters(rng, x.shape[-1]), mean, variance]
    # the mean of one or two pixels cancels what is theirs: see `norm_cancels`
    cancelled = (variance + kwargs["eps"]).min() ** -0.5 if pixels < 3 else 0.0
    return Case(args, rng, kwargs, length=pixels, least_scale=largest, cancelled=cancelled)


def batch_norm_backward_input(draw, large):
    rng, x, mean, variance = _batch(draw, large)
    dy, weight = rng.standard_normal(x.shape), norm_parameters(rng, x.shape[-1])[0]
    means = [0.3 * rng.standard_normal(x.shape[-1]) for _ in range(2)]
    return Case([dy, x, weight, mean, variance, *means], rng, least_scale=(variance + 1e-5).min() ** -0.5)


def batch_norm_backward_sums(draw, large):
    rng, x, mean, variance = _batch(draw, large)
    pixels = product(x.shape[:-1])
    # x̂ is the difference of x and the mean, over the deviation
    largest = np.abs(x).max() / np.sqrt(variance.min() + 1e-5)
    return Case([rng.standard_normal(x.shape), x, mean, variance], rng, length=pixels, least_scale=largest)


def batch_norm_moments(draw, large):
    rng, x, *_ = _batch(draw, large)
    return Case([x], rng, length=product(x.shape[:-1]), least_scale=np.abs(x).max())


def max_pool2d(draw, large):
    rng, size, kernel_size = generator(draw), map_size(draw, large), draw(st.integers(1, 4))
    padding = draw(st.integers(0, kernel_size // 2))
    least = max(kernel_size - 2 * padding, 1)
    x = rng.standard_normal((size[0], max(size[1], least), max(size[2], least), draw(CHANNELS)))
    if draw(st.booleans()):
        x = np.round(2 * x)  # several pixels of a window are equal
    return Case([x, kernel_size, draw(st.integers(1, 4)), padding], rng, length=kernel_size**2)


def adaptive_avg_pool2d(draw, large):
    rng, size = generator(draw), map_size(draw, large)
    x = rng.standard_normal((*size, draw(CHANNELS))) + 1  # a mean of 0 would be what rounding leaves of its terms
    return Case([x, (draw(FEW), draw(FEW))], rng, length=size[1] * size[2])


def mean_pool(draw, large):
    rng, size = generator(draw), map_size(draw, large)
    x = rng.standard_normal((*size, draw(CHANNELS))) + 1  # a mean of 0 would be what rounding leaves of its terms
    return Case([x], rng, length=size[1] * size[2])


def resize_bicubic(draw, large):
    rng, size = generator(draw), map_size(draw, large)
    x = rng.standard_normal((*size, draw(CHANNELS)))
    return Case([x, (draw(FEW), draw(FEW))], rng, length=max(size))


def resize_bilinear(draw, large):
    return resize_bicubic(draw, large)


def resize_nearest(draw, large):
    return resize_bicubic(draw, large)


CASES = (
    adaptive_avg_pool2d,
    batch_norm,
    batch_norm_backward_input,
    batch_norm_backward_sums,
    batch_norm_moments,
    conv2d,
    conv_transpose2d,
    max_pool2d,
    mean_pool,
    resize_bicubic,
    resize_bilinear,
    resize_nearest,
    resized_conv2d,
)
