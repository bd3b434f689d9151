"""Numbers of another place, and numbers of a parameter, in a port: told by the place and by the name."""

from dataclasses import replace

import numpy as np
import pytest

from npswin.verify import diagnose
from npswin.verify.fits.explanation import replaced_where
from npswin.verify.graph import Run
from npswin.verify.mistakes.mistake import change_node, gather_node, transform_input, transform_output
from npswin.verify.mistakes.read_besides import reading_besides
from tests.verify.keys import computed, miniature_trace, odd_trace

KEY, ODD = miniature_trace(), odd_trace()
BLOCK, NEXT = "layers.1.blocks.0", "layers.1.blocks.1"
PADDED, MERGING = "layers.0.blocks.1.attn.padded", "layers.0.downsample.concat"


def left_in_the_buffer(key, name, other):
    """Where a padded map is 0, the numbers of another tensor are, as constants."""
    run, node = Run(key.graph, key.sources), key.graph.nodes[name]
    zero = run.compute(name) == 0
    return change_node(node, transform_output(node.operation, replaced_where(zero, run.value(other))))


def read_past_the_row(x):
    """Patch merging of an odd map without a look at its bounds; 0 behind the last row of an image."""
    batch, height, width, channels = x.shape
    rows = np.concatenate([x, np.zeros((batch, 1, width, channels), x.dtype)], axis=1)
    row, column = np.arange(height + height % 2), np.arange(width + width % 2)
    flat = rows.reshape(batch, -1, channels)
    beyond = np.minimum(row[:, None] * width + column, flat.shape[1] - 1)
    padded = np.where((row < height)[:, None, None], flat[:, beyond], 0)
    return np.concatenate([padded[:, i::2, j::2] for j in (0, 1) for i in (0, 1)], axis=-1)


def added_after(name, parameter):
    def forward(y, bias):
        return y + bias, None

    def backward(dy, _):
        return dy, dy.reshape(-1, dy.shape[-1]).sum(axis=0)

    return reading_besides(KEY.graph.nodes[name], (parameter,), forward, backward)


def cause_of(key, changes):
    diagnosis = diagnose(key, computed(key.graph.replaced(changes), key.sources, "float32", seed=3))
    assert not diagnosis.unexplained, str(diagnosis)
    assert len(diagnosis.causes) == 1, str(diagnosis)
    return diagnosis.causes[0]


def test_a_buffer_that_was_not_cleared():
    other = "layers.0.blocks.0.attn.joined"
    cause = cause_of(ODD, left_in_the_buffer(ODD, PADDED, other))
    assert f"where the padding should be 0, there are the numbers of {other}, in the same places" in str(cause)


def test_a_buffer_with_the_numbers_of_the_image_before():
    run, other = Run(ODD.graph, ODD.sources), "layers.0.blocks.0.attn.joined"
    node, stale = ODD.graph.nodes[PADDED], np.zeros_like(run.value(other))
    stale[1:] = run.value(other)[:-1]
    places = (run.compute(PADDED) == 0) & (stale != 0)
    cause = cause_of(ODD, change_node(node, transform_output(node.operation, replaced_where(places, stale))))
    assert f"there are the numbers of {other}, at image 0" in str(cause)


def test_memory_that_is_read_past_the_end_of_a_row():
    node = ODD.graph.nodes[MERGING]
    cause = cause_of(ODD, gather_node(node, "patch_concat", read_past_the_row))
    words = f"{node.inputs[0]} is read past the end of a row: where the padding should be 0"
    assert words in str(cause), str(cause)
    assert "there is the beginning of the next row" in str(cause)


def test_random_numbers_in_the_padding_are_no_copies():
    run, node = Run(ODD.graph, ODD.sources), ODD.graph.nodes[PADDED]
    noise = np.random.default_rng(0).standard_normal(run.compute(PADDED).shape)
    zero = run.compute(PADDED) == 0
    changes = change_node(node, transform_output(node.operation, replaced_where(zero, noise)))
    diagnosis = diagnose(ODD, computed(ODD.graph.replaced(changes), ODD.sources, "float32", seed=3))
    assert not [cause for cause in diagnosis.causes if cause.hypothesis.name == "copied"], str(diagnosis)


def test_a_bias_that_is_added_once_more_in_two_blocks_is_one_cause():
    """It is named, so that it is the same mistake in each block, and its gradient is right."""
    changes = {}
    for block in (BLOCK, NEXT):
        changes |= added_after(f"{block}.mlp.act", f"{block}.mlp.fc1.bias")
    cause = cause_of(KEY, changes)
    assert f"{BLOCK}.mlp.fc1.bias is added to it" in str(cause)
    assert cause.places == [f"{BLOCK}.mlp.act", f"{NEXT}.mlp.act"]


@pytest.mark.parametrize(
    ("index", "numbers", "words"),
    [
        (2, lambda p: p[f"{BLOCK}.attn.qkv.bias"][: p[f"{BLOCK}.attn.proj.bias"].size], "it is the q part of"),
        (1, lambda p: np.append(p[f"{BLOCK}.attn.proj.weight"].reshape(-1)[3:], p[f"{BLOCK}.attn.proj.bias"][:3]),
         "it is read 3 numbers too late in the list of all parameters"),
    ],
    ids=["of another parameter", "later in the file"],
)  # fmt: skip
def test_numbers_of_other_parameters(index, numbers, words):
    node = KEY.graph.nodes[f"{BLOCK}.attn.proj"]
    other = numbers(KEY.sources)
    pair = (lambda x: (other.reshape(x.shape).astype(x.dtype), None)), (lambda dy, _: dy)
    cause = cause_of(KEY, change_node(node, transform_input(node.operation, index, pair)))
    assert words in str(cause), str(cause)


def test_a_tensor_that_was_never_written_is_told_so_after_other_explanations():
    """The description of the cause found before does not decide what is told of another tensor."""
    changes = {}
    for name in (f"{BLOCK}.attn.joined", f"{NEXT}.attn.joined"):
        node, shape = KEY.graph.nodes[name], Run(KEY.graph, KEY.sources).compute(name).shape
        part = np.zeros(shape, bool)
        part[-1 if name.startswith(BLOCK) else slice(None)] = True
        operation = transform_output(node.operation, replaced_where(part, np.zeros(shape)))
        changes |= {name: replace(node, operation=operation)}
    diagnosis = diagnose(KEY, computed(KEY.graph.replaced(changes), KEY.sources, "float32", seed=3))
    assert [str(cause).rpartition(": ")[2] for cause in diagnosis.causes] == [
        "the last image is 0",
        "it was never written",
    ]
