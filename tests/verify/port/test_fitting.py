"""Mistakes that no entry of the catalogue describes: what relates the port's numbers to the right ones is told."""

from dataclasses import replace

import numpy as np
import pytest

from npswin.ops.resize import bicubic_matrix
from npswin.verify import diagnose
from npswin.verify.fits.explanation import mapped, plus, times
from npswin.verify.key.golden import draw_labels, draw_pixels
from npswin.verify.key.trace import trace
from npswin.verify.mistakes.mistake import change_node, gather, gather_node, transform_input, transform_output
from npswin.verify.port.conventions import changes_by_the_image
from npswin.verify.port.rounded_operations import rounded_operations
from tests.verify.keys import SCALE, computed, miniature_trace, random_model

GRAPH = miniature_trace().graph
SOURCES = miniature_trace().sources
BLOCK, NEXT = "layers.1.blocks.0", "layers.1.blocks.1"
MERGING = "layers.0.downsample"


def after(name, pair):
    return change_node(GRAPH.nodes[name], transform_output(GRAPH.nodes[name].operation, pair))


def before(name, index, pair):
    return change_node(GRAPH.nodes[name], transform_input(GRAPH.nodes[name].operation, index, pair))


def reads(name, *inputs):
    return change_node(GRAPH.nodes[name], inputs=inputs)


def in_place_of(array):
    return (lambda x: (array.astype(x.dtype), None)), (lambda dy, _: dy)


def to_int8(weight):
    step = np.abs(weight).max(axis=1, keepdims=True) / 127
    return np.rint(weight / step) * step


def rounded_weight(weight):
    return to_int8(weight).astype(weight.dtype), None


def q_and_k_of_head_1_exchanged(weight):
    heads = GRAPH.nodes[f"{BLOCK}.attn.q"].settings["num_heads"]
    rows = weight.reshape(3, heads, -1, *weight.shape[1:]).copy()
    rows[[0, 1], 1] = rows[[1, 0], 1]
    return rows.reshape(weight.shape)


def unfolded(x):
    """Channels first, then the neighbours row by row, as `unfold` has them."""
    return x.reshape(*x.shape[:-1], 4, -1)[..., [0, 2, 1, 3], :].swapaxes(-1, -2).reshape(x.shape)


def windows_of_one_image(windows):
    """Windows put back together with a batch of 1 assumed, the channels taking what is left."""
    join = GRAPH.nodes[f"{BLOCK}.attn.joined"].settings
    (height, width), side = join["size"], join["window_size"]
    view = windows.reshape(1, height // side, width // side, side, side, -1)
    return view.transpose(0, 1, 3, 2, 4, 5).reshape(len(windows), height, width, -1)


def mean_of_two_weights():
    return (SOURCES[f"{BLOCK}.mlp.fc1.weight"] + SOURCES[f"{NEXT}.mlp.fc1.weight"]) / 2


def mean_of_two_modules():
    """Weight and bias of fc1, behind a norm, are the means of two blocks'."""
    operation = GRAPH.nodes[f"{BLOCK}.mlp.fc1"].operation
    for index, kind in ((1, "weight"), (2, "bias")):
        mean = (SOURCES[f"{BLOCK}.mlp.fc1.{kind}"] + SOURCES[f"{NEXT}.mlp.fc1.{kind}"]) / 2
        operation = transform_input(operation, index, in_place_of(mean))
    return change_node(GRAPH.nodes[f"{BLOCK}.mlp.fc1"], operation)


def average_over_weights():
    """As an exponential average of which three quarters are the weights of another block."""
    operation = GRAPH.nodes[f"{BLOCK}.norm2"].operation
    for index, kind in ((1, "weight"), (2, "bias")):
        mixed = SOURCES[f"{BLOCK}.norm2.{kind}"] / 4 + SOURCES[f"{NEXT}.norm2.{kind}"] * 3 / 4
        operation = transform_input(operation, index, in_place_of(mixed))
    return change_node(GRAPH.nodes[f"{BLOCK}.norm2"], operation)


def with_a_wrong_sign(weight):
    signs = np.ones_like(weight)
    signs[2, 3] = -1
    return weight * signs, None


def resized_table():
    """The table brought to a smaller window and back, bicubically."""
    table = SOURCES[f"{BLOCK}.attn.relative_position_bias_table"]
    side = int(len(table) ** 0.5)
    both = bicubic_matrix(side, side + 2) @ bicubic_matrix(side + 2, side)
    return np.einsum("oh,hwc,pw->opc", both, table.reshape(side, side, -1), both).reshape(table.shape)


def zero_bias_of_keys():
    parts = np.ones((3, len(SOURCES[f"{BLOCK}.attn.qkv.bias"]) // 3))
    parts[1] = 0
    return parts.reshape(-1)


CASES = {
    "patch_embed.proj: the memory of (B, C, row, column) is read as (B, row, column, C)":
        after("patch_embed.proj", gather(lambda x: x.transpose(0, 3, 1, 2).reshape(x.shape))),
    "the memory of (B, row, column, C, neighbour row, neighbour column) is read as":
        after(f"{MERGING}.concat", gather(unfolded)),
    f"it is {BLOCK}.attn.proj, but the memory of":
        gather_node(GRAPH.nodes[f"{BLOCK}.attn.joined"], "join_windows", windows_of_one_image),
    f"{BLOCK}.attn.v: head 0 in place of all heads":
        after(f"{BLOCK}.attn.v", gather(lambda x: np.repeat(x[:, :, :1], x.shape[2], 2))),
    f"{BLOCK}.attn.qkv.weight: q of head 1 and k of head 1 are exchanged":
        before(f"{BLOCK}.attn.qkv", 1, gather(q_and_k_of_head_1_exchanged)),
    "its weights are int8, one scale for each row":
        before(f"{BLOCK}.mlp.fc1", 1, (rounded_weight, lambda dy, _: dy)),
    f"{BLOCK}.attn.proj.bias: the last channel is 0":
        before(f"{BLOCK}.attn.proj", 2, gather(lambda bias: np.append(bias[:-1], 0))),
    f"{BLOCK}.norm1.weight: 1 is added": before(f"{BLOCK}.norm1", 1, plus(1.0)),
    f"{BLOCK}.norm1.weight: it is {BLOCK}.norm1.bias; {BLOCK}.norm1.bias: it is {BLOCK}.norm1.weight":
        reads(f"{BLOCK}.norm1", f"{MERGING}.reduction", f"{BLOCK}.norm1.bias", f"{BLOCK}.norm1.weight"),
    f"{BLOCK}.norm1.bias: it is {BLOCK}.norm2.bias":
        before(f"{BLOCK}.norm1", 2, in_place_of(SOURCES[f"{BLOCK}.norm2.bias"])),
    f"it is the mean of itself and {NEXT}.mlp.fc1.weight":
        before(f"{BLOCK}.mlp.fc1", 1, in_place_of(mean_of_two_weights())),
    f"{BLOCK}.mlp.fc1: it is limited below at -1 and above at 1":
        after(f"{BLOCK}.mlp.fc1", mapped(lambda x: np.clip(x, -1, 1))),
    "relative_position_bias_table: 16 sigmoid(x) is taken":
        after(f"{BLOCK}.attn.relative_position_bias", mapped(lambda x: 16 / (1 + np.exp(-x)))),
    f"{BLOCK}.attn.context: the last head is multiplied by 1.5":
        after(f"{BLOCK}.attn.context", times(np.array([1, 1.5]).reshape(1, 1, 2, 1, 1))),
    "harmless, since the softmax cancels a bias of the keys":
        before(f"{BLOCK}.attn.qkv", 2, times(zero_bias_of_keys())),
    "and layers.1.blocks.0.mlp.fc1.bias: they are the means of their own and those of layers.1.blocks.1.mlp.fc1":
        mean_of_two_modules(),
    "they are 0.25 of their own and 0.75 of those of layers.1.blocks.1.norm2": average_over_weights(),
    f"{BLOCK}.mlp.fc1.weight: it is multiplied by 0.707107 = 1/√2": before(f"{BLOCK}.mlp.fc1", 1, times(0.5**0.5)),
    f"{BLOCK}.mlp.fc1.weight: 1 of its": before(f"{BLOCK}.mlp.fc1", 1, (with_a_wrong_sign, lambda dy, _: dy)),
    "relative_position_bias_table: it is resized to":
        before(f"{BLOCK}.attn.relative_position_bias", 0, in_place_of(resized_table())),
    f"{BLOCK}: {BLOCK}.mlp.fc2: all numbers are multiplied by 0.0001": before(BLOCK, 1, times(1e-4)),
    "its factors are rounded to tf32": change_node(
        GRAPH.nodes[f"{BLOCK}.mlp.fc1"],
        next(way.operation for way in rounded_operations(GRAPH.nodes[f"{BLOCK}.mlp.fc1"]) if way.precision == "tf32"),
    ),
    "a function of each number: f(":
        after(f"{BLOCK}.mlp.act", mapped(lambda x: x + 0.1 * np.sin(5 * x))),
}  # fmt: skip


@pytest.mark.parametrize("words", CASES)
def test_a_cause_is_told_in_the_ports_terms(words):
    changes = CASES[words]
    tensors = computed(GRAPH.replaced(changes), SOURCES, "float32", seed=0)
    diagnosis = diagnose(miniature_trace(), {name: x for name, x in tensors.items() if not name.startswith("grad/")})
    assert len(diagnosis.causes) == 1, str(diagnosis)
    assert words in str(diagnosis.causes[0].hypothesis)
    assert not diagnosis.unexplained


def test_the_same_cause_in_several_blocks_is_told_once():
    changes = {}
    for block in (BLOCK, NEXT):
        changes |= after(f"{block}.mlp.act", mapped(lambda x: np.maximum(x, 0)))
    tensors = computed(GRAPH.replaced(changes), SOURCES, "float32", seed=0)
    diagnosis = diagnose(miniature_trace(), {name: x for name, x in tensors.items() if not name.startswith("grad/")})
    assert [cause.places for cause in diagnosis.causes] == [[f"{BLOCK}.mlp.act", f"{NEXT}.mlp.act"]], str(diagnosis)


def with_converted_weights():
    """A correct port whose merging has an order of its own, and whose norm and reduction have it, too."""
    width = GRAPH.nodes[f"{MERGING}.concat"].axes and len(SOURCES[f"{MERGING}.norm.weight"])
    order = unfolded(np.arange(width)[None])[0]
    norm = GRAPH.nodes[f"{MERGING}.norm"].operation
    for index in (1, 2):
        norm = transform_input(norm, index, gather(lambda x: x[order]))
    return (
        after(f"{MERGING}.concat", gather(unfolded))
        | change_node(GRAPH.nodes[f"{MERGING}.norm"], norm)
        | before(f"{MERGING}.reduction", 1, gather(lambda weight: weight[:, order]))
    )


@pytest.mark.parametrize(("differentiates", "left"), [("the curve", 1), ("GELU", 0)])
def test_a_curve_that_is_read_off_says_nothing_of_its_derivative(differentiates, left):
    """A gradient that was wrong counts as not explained by it, and is not judged afterwards."""
    node = GRAPH.nodes[f"{BLOCK}.mlp.act"]

    def forward(x, **settings):
        y, saved = node.operation.forward(x, **settings)
        return y + 0.3 * np.sin(3 * x), (saved, np.cos(3 * x))

    def backward(dy, saves, **settings):
        saved, cosine = saves
        (dx,) = node.operation.backward(dy, saved, **settings)
        return (dx + (0.9 * cosine * dy if differentiates == "the curve" else 0),)

    wavy = change_node(node, replace(node.operation, forward=forward, backward=backward))
    diagnosis = diagnose(miniature_trace(), computed(GRAPH.replaced(wavy), SOURCES, "float32", seed=0))
    (cause,) = diagnosis.causes
    assert "a function of each number: f(" in str(cause)
    assert (cause.symptom, cause.hypothesis.symptoms_left) == (f"{BLOCK}.mlp.act", left)
    assert not diagnosis.unexplained


def test_an_order_of_the_ports_own_is_no_mistake():
    tensors = computed(GRAPH.replaced(with_converted_weights()), SOURCES, "float32", seed=0)
    diagnosis = diagnose(miniature_trace(), tensors)
    assert [cause.hypothesis.name for cause in diagnosis.causes] == ["port-order"], str(diagnosis)
    assert "nothing has to be changed" in str(diagnosis)
    assert not diagnosis.unexplained


def test_a_mistake_that_is_hardly_nearer_is_no_cause():
    """Noise of twice the tolerance in a block's output, the only one that is dumped."""
    key = miniature_trace()
    tensors = computed(GRAPH, SOURCES, "float32", seed=0)
    blocks = {name: tensors[name] for name in (f"{MERGING}.reduction", BLOCK, NEXT)}
    noise = np.random.default_rng(0).standard_normal(blocks[BLOCK].shape)
    blocks[BLOCK] = (blocks[BLOCK] * (1 + 4e-6 * noise)).astype(np.float32)
    diagnosis = diagnose(key, blocks)
    assert not diagnosis.causes, str(diagnosis)
    assert "dump next: " in str(diagnosis)


READINGS = [(2.0, "the batch size"), (65536.0, "2^16, the loss scale"), (0.37, "in place of 1")]


@pytest.mark.parametrize(("factor", "words"), READINGS)
def test_a_backward_pass_that_begins_with_another_number(factor, words):
    """All gradients are multiplied, and the first one, which is dumped as well, says so."""
    tensors = computed(GRAPH, SOURCES, "float32", seed=0)
    scaled = {name: array * np.float32(factor) for name, array in tensors.items() if name.startswith("grad/")}
    diagnosis = diagnose(miniature_trace(), tensors | scaled)
    assert len(diagnosis.causes) == 1, str(diagnosis)
    assert words in str(diagnosis.causes[0].hypothesis)
    assert f"begins with {factor:.6g} in place of 1" in str(diagnosis)
    assert not diagnosis.unexplained


def test_drop_path_in_both_branches_of_a_block_of_which_only_the_output_is_dumped():
    scales = {f"{BLOCK}.residual": np.array([0.0, 1.25]), BLOCK: np.array([1.25, 0.0])}
    changes = {}
    for name, scale in scales.items():
        changes |= before(name, 1, times(scale.reshape(-1, 1, 1, 1)))
    tensors = computed(GRAPH.replaced(changes), SOURCES, "float32", seed=0)
    blocks = {name: tensors[name] for name in (f"{MERGING}.reduction", BLOCK, NEXT)}
    diagnosis = diagnose(miniature_trace(), blocks)
    assert [cause.hypothesis.name for cause in diagnosis.causes] == ["drop-path-twice"], str(diagnosis)
    text = (
        "the attention branch: image 0 of the batch skips the branch; the branch is multiplied by 1.25, a rate of 0.2"
    )
    assert text in str(diagnosis)
    assert "the MLP branch: image 1 of the batch skips the branch" in str(diagnosis)


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_windows_by_the_image_at_hand_are_another_convention(precision):
    """A model for images of 24 × 24 gets one of 12 × 12: its last stage is a single window, and not shifted then."""
    model = random_model(img_size=24, depths=(2, 2), num_heads=(1, 2), window_size=3)
    key = trace(model, draw_pixels(0, 2, (12, 12)), draw_labels(0, 2, 5), normalization=SCALE)
    changes = changes_by_the_image(key)
    tensors = computed(key.graph.replaced(changes), key.sources, precision, seed=0)
    stays = {name: array for name, array in tensors.items() if not is_shifted(name, "layers.1.blocks.1")}
    diagnosis = diagnose(key, stays)
    assert [cause.hypothesis.name for cause in diagnosis.causes] == ["convention"], str(diagnosis)
    assert "write the key with img_size 12 12" in str(diagnosis)
    assert not diagnosis.unexplained


def is_shifted(name, block):
    parts = ("shifted", "unshifted", "mask", "masked_scores")
    return name.removeprefix("grad/") in [f"{block}.attn.{part}" for part in parts]


def test_where_both_conventions_agree_there_is_none():
    assert not changes_by_the_image(miniature_trace())
