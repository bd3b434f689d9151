"""Every op's backward pass, compared with the complex-step derivative of its forward pass.

`test_<op>` checks the pair `<op>_forward`, `<op>_backward`.
"""

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npswin import ops
from npswin.ops.windows import count_windows
from tests.gradient_errors import gradcheck_and_record
from tests.ops.drawn import (
    SEEDS,
    SIDES,
    conv2d_cases,
    loss_weights,
    normal,
    random_boxes,
    window_attention_inputs,
    window_cases,
)
from tests.thorough import examples

COMPLEX_TOLERANCE = 2e-12
PAIRS = {name.removesuffix("_forward") for name in ops.__all__ if name.endswith("_forward")}


def check(forward, backward, inputs, tolerance=COMPLEX_TOLERANCE, **arguments):
    """The complex-step check of a pair with keyword arguments bound."""
    gradcheck_and_record(
        backward.__name__.removesuffix("_backward"),
        (lambda *arrays: forward(*arrays, **arguments), backward),
        inputs,
        method="complex",
        tolerance=tolerance,
        max_coordinates=150,
        directions=4,
    )


@given(SEEDS, st.lists(SIDES, max_size=2), SIDES, SIDES, st.booleans())
def test_linear(seed, lead, rows, columns, bias):
    x, weight = normal(seed, *lead, columns), normal(seed, rows, columns)
    check(ops.linear_forward, ops.linear_backward, [x, weight, normal(seed, rows) if bias else None])


@given(SEEDS, st.lists(SIDES, max_size=2), st.integers(2, 9))
def test_layer_norm(seed, lead, channels):
    x, weight, bias = normal(seed, *lead, channels), normal(seed, channels), normal(seed, 1, channels)[0]
    # Two channels are normalized to ±1, whatever they were, but for ε: without one, their derivative is what cancels.
    eps = 0.1 if channels == 2 else 1e-5
    check(ops.layer_norm_forward, ops.layer_norm_backward, [x, weight, bias], eps=eps)


@given(SEEDS, st.lists(SIDES, min_size=1, max_size=3), st.floats(0.1, 5))
def test_gelu(seed, shape, scale):
    check(ops.gelu_forward, ops.gelu_backward, [scale * normal(seed, *shape)])


@given(SEEDS, st.lists(SIDES, max_size=2), SIDES, st.floats(0.1, 20))
def test_softmax(seed, lead, classes, scale):
    check(ops.softmax_forward, ops.softmax_backward, [scale * normal(seed, *lead, classes)])


@given(SEEDS, SIDES, SIDES, st.sampled_from([0.0, 0.3, 0.9]))
def test_dropout(seed, rows, columns, rate):
    mask = ops.draw_mask(np.random.default_rng(seed), (rows, columns), rate, "float64") if rate else None
    check(lambda x: ops.dropout_forward(x, mask), ops.dropout_backward, [normal(seed, rows, columns)])


@given(SEEDS, SIDES, st.lists(SIDES, max_size=3), st.booleans())
def test_residual(seed, batch, rest, drop_path):
    scale = ops.draw_mask(np.random.default_rng(seed), (batch,), 0.5, "float64") if drop_path else None
    shortcut, branch = normal(seed, batch, *rest), normal(seed + 1, batch, *rest)
    check(lambda s, b: ops.residual_forward(s, b, scale), ops.residual_backward, [shortcut, branch])


@given(window_cases())
def test_window_partition(case):
    x = normal(case["seed"], case["batch"], case["height"], case["width"], case["channels"])
    check(
        ops.window_partition_forward,
        ops.window_partition_backward,
        [x],
        window_size=case["window_size"],
        shift_size=case["shift_size"],
    )


@given(window_cases())
def test_window_reverse(case):
    size = case["height"], case["width"]
    windows = case["batch"] * count_windows(*size, case["window_size"])
    x = normal(case["seed"], windows, case["window_size"] ** 2, case["channels"])
    check(
        ops.window_reverse_forward,
        ops.window_reverse_backward,
        [x],
        size=size,
        window_size=case["window_size"],
        shift_size=case["shift_size"],
    )


@given(SEEDS, st.integers(1, 4), st.integers(1, 3), st.sampled_from(["per_head", "shared", "full"]))
def test_position_bias(seed, window_size, heads, variant):
    relative = (2 * window_size - 1) ** 2
    shape = {"per_head": (relative, heads), "shared": (relative, 1), "full": (window_size**2,) * 2}[variant]
    check(ops.position_bias_forward, ops.position_bias_backward, [normal(seed, *shape)], window_size=window_size)


@given(SEEDS, st.integers(1, 3), st.integers(1, 3), SIDES, st.integers(1, 3), st.integers(1, 3), st.data())
def test_attention(seed, batch, num_windows, tokens, heads, head_dim, data):
    qkv = normal(seed, batch * num_windows, tokens, 3 * heads * head_dim)
    bias_heads = data.draw(st.sampled_from([None, 1, heads]))
    bias = None if bias_heads is None else normal(seed, bias_heads, tokens, tokens)
    mask = None
    if data.draw(st.booleans()):
        mask = np.where(normal(seed + 1, num_windows, tokens, tokens) > 0.5, -100.0, 0.0)
    drop_mask = None
    if data.draw(st.booleans()):
        shape = (batch * num_windows, heads, tokens, tokens)
        drop_mask = ops.draw_mask(np.random.default_rng(seed), shape, 0.4, "float64")
    check(
        lambda qkv, bias: ops.attention_forward(qkv, bias, mask, heads, drop_mask),
        ops.attention_backward,
        [qkv, bias],
    )


@settings(max_examples=examples(60, 20))
@given(window_cases(), st.booleans())
def test_window_attention(case, dropout):
    arrays, arguments = window_attention_inputs(case)
    if dropout:
        rng, tokens = np.random.default_rng(case["seed"]), case["window_size"] ** 2
        windows = case["batch"] * count_windows(case["height"], case["width"], case["window_size"])
        shape = (windows, case["num_heads"], tokens, tokens)
        arguments["attn_drop_mask"] = ops.draw_mask(rng, shape, 0.3, "float64")
        arguments["proj_drop_mask"] = ops.draw_mask(rng, (windows, tokens, case["channels"]), 0.3, "float64")
    check(ops.window_attention_forward, ops.window_attention_backward, arrays, **arguments)


@given(SEEDS, st.lists(SIDES, max_size=2), SIDES, SIDES, st.booleans())
def test_mlp(seed, lead, channels, hidden, dropout):
    shapes = [(*lead, channels), (hidden, channels), (hidden,), (channels, hidden), (channels,)]
    arrays = [normal(seed + place, *shape) for place, shape in enumerate(shapes)]
    masks = {}
    if dropout:
        rng = np.random.default_rng(seed)
        masks["hidden_drop_mask"] = ops.draw_mask(rng, (*lead, hidden), 0.3, "float64")
        masks["output_drop_mask"] = ops.draw_mask(rng, (*lead, channels), 0.3, "float64")
    check(ops.mlp_forward, ops.mlp_backward, arrays, **masks)


@settings(max_examples=examples(40, 20))
@given(window_cases(), st.booleans())
def test_attention_branch(case, drop_path):
    (x, *weights), arguments = window_attention_inputs({**case, "channels": case["channels"] + 1})
    norm = [normal(case["seed"] + place, x.shape[-1]) for place in (1, 2)]
    if drop_path:
        arguments["path_scale"] = ops.draw_mask(np.random.default_rng(case["seed"]), (len(x),), 0.5, "float64")
    check(ops.attention_branch_forward, ops.attention_branch_backward, [x, *norm, *weights], **arguments)


@given(SEEDS, st.integers(1, 2), SIDES, SIDES, st.integers(2, 5), SIDES, st.booleans())
def test_mlp_branch(seed, batch, height, width, channels, hidden, drop_path):
    shapes = [
        (batch, height, width, channels),
        (channels,),
        (channels,),
        (hidden, channels),
        (hidden,),
        (channels, hidden),
        (channels,),
    ]
    arrays = [normal(seed + place, *shape) for place, shape in enumerate(shapes)]
    scale = ops.draw_mask(np.random.default_rng(seed), (batch,), 0.5, "float64") if drop_path else None
    check(ops.mlp_branch_forward, ops.mlp_branch_backward, arrays, path_scale=scale)


@given(SEEDS, st.integers(1, 2), st.integers(1, 3), st.integers(1, 7), st.integers(1, 7), st.integers(1, 4), SIDES)
def test_patch_embed(seed, batch, in_chans, height, width, patch_size, channels):
    images = normal(seed, batch, in_chans, height, width)
    weight, bias = normal(seed, channels, in_chans, patch_size, patch_size), normal(seed, channels)
    check(ops.patch_embed_forward, ops.patch_embed_backward, [images, weight, bias])


@given(conv2d_cases())
def test_conv2d(case):
    arrays, arguments = case
    check(ops.conv2d_forward, ops.conv2d_backward, arrays, **arguments)


@given(
    SEEDS, st.integers(1, 2), st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES), SIDES, SIDES, st.sampled_from([1, 3, 5])
)
def test_resized_conv2d(seed, batch, own_size, size, inputs, outputs, side):
    arrays = [normal(seed, batch, *own_size, inputs), normal(seed, outputs, inputs, side, side)]
    check(ops.resized_conv2d_forward, ops.resized_conv2d_backward, arrays, size=size)


@given(SEEDS, st.integers(1, 2), SIDES, SIDES, SIDES, SIDES, st.integers(1, 3), st.booleans())
def test_conv_transpose2d(seed, batch, height, width, inputs, outputs, side, bias):
    x, weight = normal(seed, batch, height, width, inputs), normal(seed, inputs, outputs, side, side)
    arrays = [x, weight, normal(seed, outputs) if bias else None]
    check(ops.conv_transpose2d_forward, ops.conv_transpose2d_backward, arrays)


@given(SEEDS, st.integers(1, 2), SIDES, SIDES, st.integers(1, 3))
def test_patch_concat(seed, batch, height, width, channels):
    check(ops.patch_concat_forward, ops.patch_concat_backward, [normal(seed, batch, height, width, channels)])


@given(SEEDS, st.integers(1, 2), SIDES, SIDES, st.integers(1, 2), st.booleans(), st.booleans())
def test_patch_merging(seed, batch, height, width, channels, norm, bias):
    arrays = [
        normal(seed, batch, height, width, channels),
        normal(seed, 4 * channels) if norm else None,
        normal(seed + 1, 4 * channels) if norm else None,
        normal(seed, 2 * channels, 4 * channels),
        normal(seed, 2 * channels) if bias else None,
    ]
    check(ops.patch_merging_forward, ops.patch_merging_backward, arrays)


@given(SEEDS, SIDES, SIDES, SIDES, SIDES)
def test_mean_pool(seed, batch, height, width, channels):
    check(ops.mean_pool_forward, ops.mean_pool_backward, [normal(seed, batch, height, width, channels)])


@given(SEEDS, st.integers(1, 2), SIDES, SIDES, SIDES, SIDES, st.integers(1, 3), st.booleans())
def test_position_embed(seed, batch, height, width, rows, columns, channels, same):
    grid = (height, width) if same else (rows, columns)
    arrays = [normal(seed, batch, height, width, channels), normal(seed, 1, grid[0] * grid[1], channels)]
    check(ops.position_embed_forward, ops.position_embed_backward, arrays, grid=grid)


@given(SEEDS, SIDES, st.integers(1, 7), st.floats(0.1, 20))
def test_cross_entropy(seed, batch, classes, scale):
    targets = np.abs(normal(seed, batch, classes))
    logits = scale * normal(seed + 1, batch, classes)
    check(lambda x: ops.cross_entropy_forward(x, targets), ops.cross_entropy_backward, [logits])


@given(SEEDS, st.lists(SIDES, max_size=2), SIDES, SIDES, SIDES, SIDES, st.integers(1, 3))
def test_resize_bicubic(seed, lead, height, width, rows, columns, channels):
    x = normal(seed, *lead, height, width, channels)
    check(ops.resize_bicubic_forward, ops.resize_bicubic_backward, [x], size=(rows, columns), tolerance=1e-11)


@given(SEEDS, st.lists(SIDES, max_size=2), SIDES, SIDES, SIDES, SIDES, st.integers(1, 3))
def test_resize_bilinear(seed, lead, height, width, rows, columns, channels):
    x = normal(seed, *lead, height, width, channels)
    check(ops.resize_bilinear_forward, ops.resize_bilinear_backward, [x], size=(rows, columns))


@given(SEEDS, st.lists(SIDES, max_size=2), SIDES, SIDES, SIDES, SIDES, st.integers(1, 3))
def test_resize_nearest(seed, lead, height, width, rows, columns, channels):
    x = normal(seed, *lead, height, width, channels)
    check(ops.resize_nearest_forward, ops.resize_nearest_backward, [x], size=(rows, columns))


@given(SEEDS, st.integers(1, 2), SIDES, SIDES, SIDES, SIDES, st.integers(1, 3))
def test_adaptive_avg_pool2d(seed, batch, height, width, rows, columns, channels):
    x = normal(seed, batch, height, width, channels)
    check(ops.adaptive_avg_pool2d_forward, ops.adaptive_avg_pool2d_backward, [x], size=(rows, columns))


@given(SEEDS, st.integers(1, 2), st.integers(3, 8), st.integers(3, 8), st.integers(1, 3), st.integers(1, 3), st.data())
def test_max_pool2d(seed, batch, height, width, kernel_size, stride, data):
    padding = data.draw(st.integers(0, kernel_size // 2))
    x = normal(seed, batch, height, width, 2)
    arguments = {"kernel_size": kernel_size, "stride": stride, "padding": padding}
    check(ops.max_pool2d_forward, ops.max_pool2d_backward, [x], **arguments)


@given(SEEDS, st.lists(SIDES, min_size=1, max_size=3), st.floats(0.1, 5))
def test_relu(seed, shape, scale):
    check(ops.relu_forward, ops.relu_backward, [scale * normal(seed, *shape)])


@given(SEEDS, st.lists(SIDES, max_size=2), st.integers(3, 9), SIDES, st.booleans())
def test_batch_norm(seed, lead, pixels, channels, constant):
    x, weight, bias, shift = normal(seed, *lead, pixels, channels), *normal(seed, 3, channels)

    def forward(x, weight, bias):
        moments = ops.batch_norm_moments(shift + normal(seed, 5, channels) if constant else x)
        return ops.batch_norm_forward(x, weight, bias, moments.mean, moments.variance, constant=constant)

    check(forward, ops.batch_norm_backward, [x, weight, bias])


@given(SEEDS, st.lists(SIDES, max_size=3), st.floats(0.1, 20), st.data())
def test_sigmoid_cross_entropy(seed, shape, scale, data):
    logits, targets = scale * normal(seed, *shape, 1), np.random.default_rng(seed).random((*shape, 1))
    weights, divisor = data.draw(loss_weights(seed, *shape, 1))
    check(
        lambda x: ops.sigmoid_cross_entropy_forward(x, targets, weights, divisor),
        ops.sigmoid_cross_entropy_backward,
        [logits],
    )


@given(SEEDS, st.lists(SIDES, min_size=1, max_size=2), st.integers(1, 7), st.floats(0.1, 20), st.data())
def test_pixel_cross_entropy(seed, lead, classes, scale, data):
    labels = np.random.default_rng(seed).integers(0, classes + 1, lead)
    labels[labels == classes] = 255
    weights, divisor = data.draw(loss_weights(seed, *lead))
    check(
        lambda x: ops.pixel_cross_entropy_forward(x, labels, weights, 255, divisor),
        ops.pixel_cross_entropy_backward,
        [scale * normal(seed, *lead, classes)],
    )


@given(SEEDS, st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES), st.integers(1, 5), st.floats(0.1, 20))
def test_resized_cross_entropy(seed, own_size, size, classes, scale):
    labels = np.random.default_rng(seed).integers(0, classes + 1, (2, *size))
    labels[labels == classes] = 255
    check(
        lambda x: ops.resized_cross_entropy_forward(x, labels),
        ops.resized_cross_entropy_backward,
        [scale * normal(seed, 2, *own_size, classes)],
    )


@given(SEEDS, st.lists(SIDES, max_size=3), st.data())
def test_l1_loss(seed, shape, data):
    x, targets = normal(seed, *shape, 1), normal(seed + 1, *shape, 1)
    weights, divisor = data.draw(loss_weights(seed, *shape, 1))
    check(lambda x: ops.l1_loss_forward(x, targets, weights, divisor), ops.l1_loss_backward, [x])


@given(SEEDS, st.lists(SIDES, max_size=3), st.sampled_from([1 / 9, 1.0, 3.0]), st.data())
def test_smooth_l1_loss(seed, shape, beta, data):
    x, targets = normal(seed, *shape, 1), normal(seed + 1, *shape, 1)
    weights, divisor = data.draw(loss_weights(seed, *shape, 1))
    check(lambda x: ops.smooth_l1_loss_forward(x, targets, weights, divisor, beta), ops.smooth_l1_loss_backward, [x])


@given(SEEDS, st.integers(0, 6), st.sampled_from([0.1, 1, 3]), st.data())
def test_giou_loss(seed, count, spread, data):
    boxes, targets = random_boxes(seed, count, spread), random_boxes(seed + 1, count, spread)
    weights, divisor = data.draw(loss_weights(seed, count))
    check(lambda x: ops.giou_loss_forward(x, targets, weights, divisor), ops.giou_loss_backward, [boxes])


@given(SEEDS, SIDES, st.sampled_from([0.1, 1, 10]))
def test_decode_boxes(seed, count, scale):
    deltas, boxes = scale * normal(seed, count, 4), random_boxes(seed, count)
    check(
        lambda deltas: ops.decode_boxes_forward(deltas, boxes, (0.1, 0.15, 0.2, 0.3)),
        ops.decode_boxes_backward,
        [deltas],
    )


@given(SEEDS, st.integers(1, 2), SIDES, SIDES, st.integers(1, 3), st.integers(1, 5), st.integers(0, 3), st.data())
def test_roi_align(seed, batch, height, width, channels, count, sampling_ratio, data):
    size = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    rng = np.random.default_rng(seed)
    corners = 4 * rng.uniform(-2, 8, (count, 4))
    rois = np.concatenate([rng.integers(0, batch, (count, 1)), corners], axis=1)
    check(
        lambda x: ops.roi_align_forward(x, rois, size, 0.25, sampling_ratio),
        ops.roi_align_backward,
        [normal(seed, batch, height, width, channels)],
    )


CHECKED = sorted(pair for pair in PAIRS if callable(globals().get(f"test_{pair}")))


def test_every_pair_has_a_gradient_check():
    unchecked = sorted(PAIRS - set(CHECKED))
    assert not unchecked, (
        f"no gradient check for {', '.join(unchecked)}: add test_<op> to tests/ops/test_gradients.py, which calls "
        "check(ops.<op>_forward, ops.<op>_backward, [inputs]) on drawn arguments, and name it in the docstring of "
        "<op>_forward: Test: tests/ops/test_gradients.py::test_<op>"
    )


@pytest.mark.parametrize("pair", CHECKED)
def test_the_docstring_names_the_gradient_check(pair):
    lines = inspect.getdoc(getattr(ops, f"{pair}_forward")).splitlines()
    assert f"Test: tests/ops/test_gradients.py::test_{pair}" in lines


@pytest.mark.parametrize("name", sorted(name for name in ops.__all__ if name.endswith("_forward")))
def test_every_forward_has_a_backward(name):
    assert name.replace("_forward", "_backward") in ops.__all__
