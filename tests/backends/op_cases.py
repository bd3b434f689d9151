"""Drawn arguments for every op of `npswin.ops`, which backends are compared on.

`OPS` has a function for each op, a pair counting as one. It draws a `Case`; `large` asks for enough tokens to fill
several tiles.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

from npswin import ops
from npswin.ops.window_attention import AttentionSpec
from npswin.ops.windows import count_windows
from tests.ops.drawn import SEEDS


@dataclass
class Case:
    """The arguments of one call, arrays in float64.

    Attributes:
        args: positional arguments; an array, None, or something else that is passed on as it is.
        rng: draws the gradient of y.
        kwargs: arguments by name.
        length: number of terms of the op's longest sum.
        least_scale: what the results' errors are relative to, where the results are smaller.
        cancelled: size of the terms of dx relative to dy, where they cancel.
    """

    args: list[Any]
    rng: np.random.Generator
    kwargs: dict[str, Any] = field(default_factory=dict)
    length: int = 1
    least_scale: float = 0.0
    cancelled: float = 0.0


CHANNELS = st.integers(1, 100)
FEW = st.integers(1, 9)
SIDES = st.integers(1, 3)


def _rng(draw):
    return np.random.default_rng(draw(SEEDS))


def _lead(draw, large):
    """The axes before the channels: up to three; 301 tokens or more in a large case."""
    if large:
        return draw(st.sampled_from([(301,), (2, 190), (1, 18, 23), (3, 11, 13)]))
    return tuple(draw(st.lists(FEW, max_size=3)))


def _map(draw, large):
    """(B, H, W), with odd sides among them."""
    if large:
        return draw(st.integers(1, 3)), draw(st.integers(18, 25)), draw(st.integers(17, 24))
    return draw(st.integers(1, 3)), draw(FEW), draw(FEW)


def _maybe(draw, array):
    return array if draw(st.booleans()) else None


def weight_parameter(rng, out, *inputs):
    """A weight that gives outputs the size of the inputs."""
    return rng.standard_normal((out, *inputs)) / np.sqrt(np.prod(inputs))


def _mask(draw, rng, *shape):
    """A dropout mask, or None."""
    return _maybe(draw, ops.draw_mask(rng, shape, 0.3, "float64"))


def norm_parameters(rng, channels):
    """A norm's gain and bias."""
    return [1 + 0.3 * rng.standard_normal(channels), 0.3 * rng.standard_normal(channels)]


def _count(shape):
    return int(np.prod(shape))


def _norm_cancels(x, eps=1e-5):
    """With one or two channels that differ, dx = rstd (g − ⟨g⟩ − x̂ ⟨g x̂⟩) is what rounding leaves of its terms."""
    return 0.0 if np.count_nonzero(x, axis=-1).min() > 2 else (x.var(axis=-1) + eps).min() ** -0.5


def linear(draw, large):
    rng, lead, inputs, outputs = _rng(draw), _lead(draw, large), draw(CHANNELS), draw(CHANNELS)
    bias = _maybe(draw, rng.standard_normal(outputs))
    args = [rng.standard_normal((*lead, inputs)), weight_parameter(rng, outputs, inputs), bias]
    return Case(args, rng, length=max(inputs, outputs, _count(lead)))


def layer_norm(draw, large):
    rng, lead, channels = _rng(draw), _lead(draw, large), draw(CHANNELS)
    x = draw(st.sampled_from([0.1, 1, 30])) * rng.standard_normal((*lead, channels)) + draw(st.sampled_from([0, 1]))
    case = Case([x, *norm_parameters(rng, channels)], rng, length=max(channels, _count(lead)))
    if draw(st.booleans()):
        case.kwargs["eps"] = 0.01
    case.cancelled = _norm_cancels(x, case.kwargs.get("eps", 1e-5))
    return case


def _any_shape(draw, large):
    return (*_lead(draw, large), draw(CHANNELS))


def gelu(draw, large):
    rng, shape = _rng(draw), _any_shape(draw, large)
    x = draw(st.sampled_from([0.1, 1, 5])) * rng.standard_normal(shape)
    return Case([x], rng, least_scale=np.abs(x).max(), cancelled=1.0)


def relu(draw, large):
    rng, shape = _rng(draw), _any_shape(draw, large)
    return Case([np.round(rng.standard_normal(shape), 1)], rng)  # zeros among them


def softmax(draw, large):
    rng, shape = _rng(draw), _any_shape(draw, large)
    x = rng.standard_normal(shape)
    if draw(st.booleans()):
        x[..., 1:][rng.random(x[..., 1:].shape) < 0.3] = -np.inf
    return Case([x], rng, length=shape[-1], cancelled=ops.softmax_forward(x)[0].max())


def dropout(draw, large):
    rng, shape = _rng(draw), _any_shape(draw, large)
    return Case([rng.standard_normal(shape), _mask(draw, rng, *shape)], rng)


def _path_scale(draw, rng, batch):
    """Drop path's factors, zeros among them, or None."""
    return draw(st.sampled_from([None, ops.draw_mask(rng, (batch,), 0.5, "float64"), np.zeros(batch)]))


def residual(draw, large):
    rng, shape = _rng(draw), (*_map(draw, large), draw(CHANNELS))
    path_scale = _path_scale(draw, rng, shape[0])
    return Case([rng.standard_normal(shape), rng.standard_normal(shape), path_scale], rng)


@dataclass
class _Windows:
    """Sizes of a map that is cut into windows: whole, with padding, or smaller than a window."""

    batch: int
    height: int
    width: int
    side: int
    shift_size: int

    @property
    def count(self):
        return self.batch * count_windows(self.height, self.width, self.side)


def _windows(draw, large):
    batch, height, width = _map(draw, large)
    side = draw(st.integers(1, 8 if large else 5))
    return _Windows(batch, height, width, side, draw(st.integers(0, side - 1)))


def window_partition(draw, large):
    rng, cut = _rng(draw), _windows(draw, large)
    return Case(
        [rng.standard_normal((cut.batch, cut.height, cut.width, draw(CHANNELS))), cut.side, cut.shift_size], rng
    )


def window_reverse(draw, large):
    rng, cut = _rng(draw), _windows(draw, large)
    windows = rng.standard_normal((cut.count, cut.side**2, draw(CHANNELS)))
    return Case([windows, (cut.height, cut.width), cut.side, cut.shift_size], rng)


def _table(draw, rng, side, heads):
    relative = (2 * side - 1) ** 2
    shape = draw(st.sampled_from([(relative, heads), (relative, 1), (side**2, side**2)]))
    return rng.standard_normal(shape)


def position_bias(draw, _):
    rng, side = _rng(draw), draw(st.integers(1, 7))
    return Case([_table(draw, rng, side, draw(st.integers(1, 5))), side], rng, length=side**2)


def _attention(draw, large):
    """qkv, bias, mask, num_heads."""
    rng, windows, images = _rng(draw), draw(st.integers(1, 5)), draw(st.integers(1, 3))
    tokens, heads, dim = draw(st.integers(1, 64 if large else 20)), draw(st.integers(1, 4)), draw(st.integers(1, 33))
    qkv = rng.standard_normal((images * windows, tokens, 3 * heads * dim))
    bias = _maybe(draw, rng.standard_normal((draw(st.sampled_from([1, heads])), tokens, tokens)))
    mask = np.where(rng.random((windows, tokens, tokens)) < 0.3, draw(st.sampled_from([-100.0, -np.inf])), 0.0)
    mask[:, np.arange(tokens), np.arange(tokens)] = 0
    return rng, [qkv, bias, _maybe(draw, mask), heads], (images * windows, heads, tokens, tokens)


def attention(draw, large):
    rng, args, shape = _attention(draw, large)
    return Case(args, rng, {"drop_mask": _mask(draw, rng, *shape)}, length=max(args[0].shape))


def adaptive_avg_pool2d(draw, large):
    rng, size = _rng(draw), _map(draw, large)
    x = rng.standard_normal((*size, draw(CHANNELS))) + 1  # a mean of 0 would be what rounding leaves of its terms
    return Case([x, (draw(FEW), draw(FEW))], rng, length=size[1] * size[2])


def attention_probabilities(draw, large):
    rng, args, _ = _attention(draw, large)
    return Case(args, rng, length=max(args[0].shape))


def window_attention(draw, large):
    rng, cut, channels = _rng(draw), _windows(draw, large), draw(CHANNELS)
    heads, dim = draw(st.integers(1, 4)), draw(st.integers(1, 33))
    inner_dim, tokens = heads * dim, cut.side**2
    args = [
        rng.standard_normal((cut.batch, cut.height, cut.width, channels)),
        weight_parameter(rng, 3 * inner_dim, channels),
        _maybe(draw, rng.standard_normal(3 * inner_dim)),
        weight_parameter(rng, channels, inner_dim),
        _maybe(draw, rng.standard_normal(channels)),
        _maybe(draw, _table(draw, rng, cut.side, heads)),
    ]
    mask_value = draw(st.sampled_from([-100.0, -np.inf]))
    kwargs = {"spec": AttentionSpec(heads, cut.side, cut.shift_size, mask_value)}
    if draw(st.integers(0, 3)) == 0:
        kwargs["attn_drop_mask"] = _mask(draw, rng, cut.count, heads, tokens, tokens)
        kwargs["proj_drop_mask"] = _mask(draw, rng, cut.count, tokens, channels)
    return Case(args, rng, kwargs, length=max(channels, 3 * inner_dim, cut.count * tokens))


def _branch(case, draw):
    """The same with a norm before it and a residual connection after it."""
    (x, *weights), rng = case.args, case.rng
    case.kwargs["path_scale"] = _path_scale(draw, rng, len(x))
    case.args = [x, *norm_parameters(rng, x.shape[-1]), *weights]
    case.cancelled = _norm_cancels(x)
    if x.shape[-1] == 1:  # the norm leaves β of every token; all keys are equal, and the derivatives of scores cancel
        case.least_scale = 1.0
    return case


def attention_branch(draw, large):
    return _branch(window_attention(draw, large), draw)


def _mlp(draw, lead):
    rng, channels, hidden = _rng(draw), draw(CHANNELS), draw(st.one_of(st.integers(1, 9), st.integers(1, 400)))
    args = [
        rng.standard_normal((*lead, channels)),
        weight_parameter(rng, hidden, channels),
        _maybe(draw, rng.standard_normal(hidden)),
        weight_parameter(rng, channels, hidden),
        _maybe(draw, rng.standard_normal(channels)),
    ]
    masks = {}
    if draw(st.integers(0, 3)) == 0:
        masks["hidden_drop_mask"] = _mask(draw, rng, *lead, hidden)
        masks["output_drop_mask"] = _mask(draw, rng, *lead, channels)
    return Case(args, rng, masks, length=max(channels, hidden, _count(lead)))


def mlp(draw, large):
    return _mlp(draw, _lead(draw, large))


def mlp_branch(draw, large):
    return _branch(_mlp(draw, _map(draw, large)), draw)


def patch_embed(draw, large):
    rng, (batch, height, width), outputs = _rng(draw), _map(draw, large), draw(CHANNELS)
    in_chans, side = draw(st.integers(1, 4)), draw(st.integers(1, 2 if large else 5))
    images = rng.standard_normal((batch, in_chans, height, width))
    bias = _maybe(draw, rng.standard_normal(outputs))
    length = max(in_chans * side**2, outputs, batch * height * width)
    return Case([images, weight_parameter(rng, outputs, in_chans, side, side), bias], rng, length=length)


def patch_concat(draw, large):
    rng, size = _rng(draw), _map(draw, large)
    return Case([rng.standard_normal((*size, draw(CHANNELS)))], rng)


def patch_merging(draw, large):
    rng, size, channels = _rng(draw), _map(draw, large), draw(st.integers(1, 50))
    args = [
        rng.standard_normal((*size, channels)),
        *draw(st.sampled_from([norm_parameters(rng, 4 * channels), [None, None]])),
        weight_parameter(rng, 2 * channels, 4 * channels),
        _maybe(draw, rng.standard_normal(2 * channels)),
    ]
    cancelled = 0.0 if args[1] is None else _norm_cancels(ops.patch_concat_forward(args[0])[0])
    return Case(args, rng, length=max(4 * channels, _count(size)), cancelled=cancelled)


def max_pool2d(draw, large):
    rng, size, kernel_size = _rng(draw), _map(draw, large), draw(st.integers(1, 4))
    padding = draw(st.integers(0, kernel_size // 2))
    least = max(kernel_size - 2 * padding, 1)
    x = rng.standard_normal((size[0], max(size[1], least), max(size[2], least), draw(CHANNELS)))
    if draw(st.booleans()):
        x = np.round(2 * x)  # several pixels of a window are equal
    return Case([x, kernel_size, draw(st.integers(1, 4)), padding], rng, length=kernel_size**2)


def mean_pool(draw, large):
    rng, size = _rng(draw), _map(draw, large)
    x = rng.standard_normal((*size, draw(CHANNELS))) + 1  # a mean of 0 would be what rounding leaves of its terms
    return Case([x], rng, length=size[1] * size[2])


def position_embed(draw, large):
    rng, (batch, height, width), channels = _rng(draw), _map(draw, large), draw(CHANNELS)
    grid = draw(st.sampled_from([(height, width), (draw(FEW), draw(FEW))]))
    args = [
        rng.standard_normal((batch, height, width, channels)),
        rng.standard_normal((1, grid[0] * grid[1], channels)),
    ]
    return Case([*args, grid], rng, length=max(height, width, *grid))


def resize_bicubic(draw, large):
    rng, size = _rng(draw), _map(draw, large)
    x = rng.standard_normal((*size, draw(CHANNELS)))
    return Case([x, (draw(FEW), draw(FEW))], rng, length=max(size))


def conv2d(draw, large):
    rng, (batch, height, width) = _rng(draw), _map(draw, large)
    inputs, outputs, padding = draw(CHANNELS), draw(CHANNELS), draw(st.integers(0, 3))
    kernel = draw(st.sampled_from([(3, 3), (3, 3), (1, 1), (5, 5), (1, 3), (5, 1)]))
    rows, columns = (
        min(k, (side + 2 * padding - 1) // 2 * 2 + 1) for k, side in zip(kernel, (height, width), strict=True)
    )
    args = [
        rng.standard_normal((batch, height, width, inputs)),
        weight_parameter(rng, outputs, inputs, rows, columns),
        _maybe(draw, rng.standard_normal(outputs)),
        draw(st.sampled_from([1, 1, 2, 3])),
        padding,
    ]
    return Case(args, rng, length=max(rows * columns * max(inputs, outputs), batch * height * width))


def resized_conv2d(draw, large):
    rng, size, inputs, outputs = _rng(draw), _map(draw, large), draw(CHANNELS), draw(CHANNELS)
    side, out_size = draw(st.sampled_from([1, 3, 5])), (draw(FEW), draw(FEW))
    args = [rng.standard_normal((*size, inputs)), weight_parameter(rng, outputs, inputs, side, side), out_size]
    return Case(args, rng, length=max(side**2 * max(inputs, outputs), size[0] * _count(out_size)))


def conv_transpose2d(draw, large):
    rng, size, inputs, outputs, side = _rng(draw), _map(draw, large), draw(CHANNELS), draw(CHANNELS), draw(SIDES)
    args = [
        rng.standard_normal((*size, inputs)),
        np.moveaxis(weight_parameter(rng, outputs, side, side, inputs), -1, 0),
        _maybe(draw, rng.standard_normal(outputs)),
    ]
    return Case(args, rng, length=max(inputs, outputs * side**2, _count(size) * side**2))


def _batch(draw, large):
    """A generator, a map of pixels, and the mean and variance of each channel."""
    rng, shape = _rng(draw), _any_shape(draw, large)
    x = draw(st.sampled_from([0.1, 1, 30])) * rng.standard_normal(shape) + draw(st.sampled_from([0, 1]))
    return rng, x, *ops.batch_norm_moments(x)[1:]


def batch_norm(draw, large):
    rng, x, mean, variance = _batch(draw, large)
    kwargs = {"eps": draw(st.sampled_from([1e-5, 0.01])), "constant": draw(st.booleans())}
    pixels, largest = _count(x.shape[:-1]), np.abs(mean).max() / np.sqrt(variance.min() + kwargs["eps"])
    args = [x, *norm_parameters(rng, x.shape[-1]), mean, variance]
    # the mean of one or two pixels cancels what is theirs: see `_norm_cancels`
    cancelled = (variance + kwargs["eps"]).min() ** -0.5 if pixels < 3 else 0.0
    return Case(args, rng, kwargs, length=pixels, least_scale=largest, cancelled=cancelled)


def batch_norm_backward_input(draw, large):
    rng, x, mean, variance = _batch(draw, large)
    dy, weight = rng.standard_normal(x.shape), norm_parameters(rng, x.shape[-1])[0]
    means = [0.3 * rng.standard_normal(x.shape[-1]) for _ in range(2)]
    return Case([dy, x, weight, mean, variance, *means], rng, least_scale=(variance + 1e-5).min() ** -0.5)


def batch_norm_backward_sums(draw, large):
    rng, x, mean, variance = _batch(draw, large)
    pixels = _count(x.shape[:-1])
    # x̂ is the difference of x and the mean, over the deviation
    largest = np.abs(x).max() / np.sqrt(variance.min() + 1e-5)
    return Case([rng.standard_normal(x.shape), x, mean, variance], rng, length=pixels, least_scale=largest)


def batch_norm_moments(draw, large):
    rng, x, *_ = _batch(draw, large)
    return Case([x], rng, length=_count(x.shape[:-1]), least_scale=np.abs(x).max())


def resize_bilinear(draw, large):
    return resize_bicubic(draw, large)


def resize_nearest(draw, large):
    return resize_bicubic(draw, large)


def cross_entropy(draw, large):
    rng, rows, classes = _rng(draw), draw(st.integers(1, 400 if large else 9)), draw(st.integers(1, 300))
    targets = rng.random((rows, classes))
    if draw(st.booleans()):
        targets = np.eye(classes)[rng.integers(classes, size=rows)]
    targets *= draw(st.sampled_from([1, 0.7])) / targets.sum(axis=1, keepdims=True)
    logits = draw(st.sampled_from([1, 20])) * rng.standard_normal((rows, classes)) + draw(st.sampled_from([0, 1000]))
    return Case([logits, targets], rng, length=classes)


def _weights_and_divisor(draw, rng, *shape):
    weights = draw(st.sampled_from([None, rng.random(shape) * rng.integers(0, 2, shape)]))
    return weights, draw(st.sampled_from([None, 0.5, 30]))


def sigmoid_cross_entropy(draw, large):
    rng, shape = _rng(draw), _any_shape(draw, large)
    logits = draw(st.sampled_from([1, 20])) * rng.standard_normal(shape)
    args = [logits, rng.random(shape), *_weights_and_divisor(draw, rng, *shape)]
    return Case(args, rng, length=logits.size)


def pixel_cross_entropy(draw, large):
    rng, lead, classes = _rng(draw), _lead(draw, large), draw(CHANNELS)
    logits = draw(st.sampled_from([1, 20])) * rng.standard_normal((*lead, classes))
    labels = np.asarray(rng.integers(0, classes, lead))
    labels[rng.random(lead) < 0.2] = draw(st.sampled_from([255, 300]))
    labels = labels.astype(draw(st.sampled_from([np.int64, np.int32, np.uint16])))
    weights, divisor = _weights_and_divisor(draw, rng, *lead)
    weights = None if weights is None else np.asarray(weights)
    return Case([logits, labels, weights, max(labels.max(initial=0), 255), divisor], rng, length=logits.size)


def resized_cross_entropy(draw, large):
    rng, size, classes, out_size = _rng(draw), _map(draw, large), draw(CHANNELS), (draw(FEW), draw(FEW))
    logits = draw(st.sampled_from([1, 20])) * rng.standard_normal((*size, classes))
    labels = rng.integers(0, classes, (size[0], *out_size))
    labels[rng.random(labels.shape) < 0.2] = 255
    return Case([logits, labels, 255], rng, length=labels.size * classes)


def _deviations_of_boxes(draw, large):
    rng, shape = _rng(draw), _any_shape(draw, large)
    x, targets = rng.standard_normal(shape), rng.standard_normal(shape)
    return Case([x, targets, *_weights_and_divisor(draw, rng, *shape)], rng, length=x.size)


def l1_loss(draw, large):
    return _deviations_of_boxes(draw, large)


def smooth_l1_loss(draw, large):
    case = _deviations_of_boxes(draw, large)
    case.args.append(draw(st.sampled_from([1 / 9, 1.0])))
    return case


def _box_count(draw, large):
    return 700 if large else draw(st.integers(0, 9))


def _boxes(rng, count):
    """Some apart from each other, some with a large overlap."""
    centres, sides = rng.uniform(0, 60, (count, 2)), rng.uniform(4, 60, (count, 2))
    return np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)


def giou_loss(draw, large):
    rng, count = _rng(draw), _box_count(draw, large)
    boxes, targets = _boxes(rng, count), _boxes(rng, count)
    return Case([boxes, targets, *_weights_and_divisor(draw, rng, count)], rng, length=max(count, 1))


def decode_boxes(draw, large):
    rng, count = _rng(draw), _box_count(draw, large)
    deltas = draw(st.sampled_from([1, 20])) * rng.standard_normal((count, 4))
    return Case([deltas, _boxes(rng, count), (0.1, 0.15, 0.2, 0.3)], rng, least_scale=60)


def encode_boxes(draw, large):
    rng, count = _rng(draw), _box_count(draw, large)
    return Case([_boxes(rng, count), _boxes(rng, count), (0.1, 0.15, 0.2, 0.3)], rng)


def box_iou(draw, large):
    rng = _rng(draw)
    return Case([_boxes(rng, _box_count(draw, large)), _boxes(rng, draw(st.integers(0, 9)))], rng)


def nms(draw, large):
    rng, count = _rng(draw), _box_count(draw, large)
    groups = draw(st.sampled_from([None, rng.integers(0, 3, count), rng.integers(-2, 2, count, np.int32)]))
    scores = rng.integers(0, 20, count) / 16
    return Case([_boxes(rng, count), scores, draw(st.sampled_from([0.3, 0.7])), groups], rng)


def paste_masks(draw, large):
    rng, count = _rng(draw), draw(st.integers(0, 5))
    masks, boxes = rng.random((count, draw(FEW), draw(FEW))), _boxes(rng, count)
    size = draw(st.sampled_from([(37, 61), (90, 41)])) if large else (draw(FEW), draw(FEW))
    return Case([masks, boxes * draw(st.sampled_from([0.2, 1.0])), size], rng)


def roi_align(draw, large):
    rng, (batch, height, width) = _rng(draw), _map(draw, large)
    count, scale = 60 if large else draw(st.integers(0, 5)), draw(st.sampled_from([0.25, 1.0]))
    corners = np.stack([rng.uniform(-0.3, 1.3, (2, count)) * side / scale for side in (width, height)], axis=-1)
    corners = corners if draw(st.booleans()) else np.sort(corners, axis=0)  # the former has RoIs of negative sides
    rois = np.concatenate([rng.integers(0, batch, (count, 1)), *corners], axis=1)
    x = rng.standard_normal((batch, height, width, draw(CHANNELS)))
    size = draw(st.integers(1, 7)), draw(st.integers(1, 7))
    return Case([x, rois, size, scale, draw(st.integers(0, 3))], rng, length=max(height * width, count))


def _parameters(draw, large, count):
    rng, shape = _rng(draw), draw(st.lists(FEW, max_size=4))
    shape = (1 << 15, 3) if large else tuple(shape)
    return rng, [np.asarray(rng.standard_normal(shape)) for _ in range(count)]


def adamw_update(draw, large):
    rng, (param, grad, m, v) = _parameters(draw, large, 4)
    step = draw(st.sampled_from([1, 7, 5000]))
    hyper = [draw(st.sampled_from([0.0, 1e-3, 0.1])), 0.9, 0.999, 1e-8, draw(st.sampled_from([0.0, 0.05])), step]
    moments = [np.zeros_like(m), np.zeros_like(v)] if step == 1 else [m, np.square(v, out=v)]
    return Case([param, grad, *moments, *hyper], rng)


def adamw_update_all(draw, large):
    cases = [adamw_update(draw, large and place == 1) for place in range(draw(st.integers(1, 3)))]
    columns = [list(column) for column in zip(*(case.args[:4] for case in cases), strict=True)]
    step = draw(st.sampled_from([1, 7]))
    if step == 1:
        columns[2:] = [[np.zeros_like(array) for array in column] for column in columns[2:]]
    decays = [draw(st.sampled_from([0.0, 0.05])) for _ in cases]
    hyper = [draw(st.sampled_from([1e-3, 0.1])), 0.9, 0.999, 1e-8, decays, step]
    return Case([*columns, *hyper, *draw(st.sampled_from([[], [0.3], [float("nan")]]))], _rng(draw))


def sgd_update(draw, large):
    rng, arrays = _parameters(draw, large, 3)
    return Case([*arrays, 0.1, draw(st.sampled_from([0.0, 0.9])), draw(st.sampled_from([0.0, 0.05]))], rng)


def sgd_update_all(draw, large):
    cases = [sgd_update(draw, large and place == 1) for place in range(draw(st.integers(1, 3)))]
    columns = [list(column) for column in zip(*(case.args[:3] for case in cases), strict=True)]
    decays = [draw(st.sampled_from([0.0, 0.05])) for _ in cases]
    scale = draw(st.sampled_from([[], [0.3], [float("nan")]]))
    return Case([*columns, 0.1, draw(st.sampled_from([0.0, 0.9])), decays, *scale], _rng(draw))


def ema_update(draw, large):
    rng, arrays = _parameters(draw, large, 2)
    return Case([*arrays, draw(st.sampled_from([0.0, 0.9, 1.0]))], rng)


def ema_update_all(draw, large):
    cases = [ema_update(draw, large and place == 1) for place in range(draw(st.integers(1, 3)))]
    columns = [list(column) for column in zip(*(case.args[:2] for case in cases), strict=True)]
    return Case([*columns, draw(st.sampled_from([0.0, 0.9, 1.0]))], _rng(draw))


def global_norm(draw, large):
    rng, arrays = _parameters(draw, large, draw(st.integers(0, 3)))
    return Case([arrays], rng, length=max([1, *(array.size for array in arrays)]))


def draw_mask(draw, large):
    """The definition and the backend get generators of the same seed, so they have to draw the same."""
    seed = draw(SEEDS)
    shape, rate = _any_shape(draw, large), draw(st.sampled_from([0.0, 0.3, 0.9]))
    return Case([Seed(seed), shape, rate, np.float64], np.random.default_rng(0))


@dataclass
class Seed:
    """Replaced by a new generator with this seed."""

    value: int


def draw_cases(op, draw, large):
    """A case of the op, and others of the same shapes and variants with other numbers: eight, or one if it is large."""
    draws = []

    def remember(strategy):
        draws.append((strategy, draw(strategy)))
        return draws[-1][1]

    def again(number):
        values = iter([value + number if strategy is SEEDS else value for strategy, value in draws])
        return OPS[op](lambda _: next(values), large)

    return [OPS[op](remember, large), *(again(number) for number in range(1, 2 if large else 9))]


OPS = {
    function.__name__: function
    for function in (
        adamw_update,
        adamw_update_all,
        adaptive_avg_pool2d,
        attention,
        attention_branch,
        attention_probabilities,
        batch_norm,
        batch_norm_backward_input,
        batch_norm_backward_sums,
        batch_norm_moments,
        box_iou,
        conv2d,
        conv_transpose2d,
        cross_entropy,
        decode_boxes,
        draw_mask,
        dropout,
        ema_update,
        ema_update_all,
        encode_boxes,
        gelu,
        giou_loss,
        global_norm,
        l1_loss,
        layer_norm,
        linear,
        max_pool2d,
        mean_pool,
        mlp,
        mlp_branch,
        nms,
        paste_masks,
        patch_concat,
        patch_embed,
        patch_merging,
        pixel_cross_entropy,
        position_bias,
        position_embed,
        relu,
        residual,
        resize_bicubic,
        resize_bilinear,
        resize_nearest,
        resized_conv2d,
        resized_cross_entropy,
        roi_align,
        sgd_update,
        sgd_update_all,
        sigmoid_cross_entropy,
        smooth_l1_loss,
        softmax,
        window_attention,
        window_partition,
        window_reverse,
    )
}
# They change their arguments in place; all other ops leave them as they are.
UPDATES = {"adamw_update", "adamw_update_all", "ema_update", "ema_update_all", "sgd_update", "sgd_update_all"}
DRAWING = {"draw_mask"}  # take numbers from a generator
