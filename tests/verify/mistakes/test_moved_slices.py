"""Factors of other heads and windows, columns of qkv from elsewhere, keys in tiles, and what a gradient tells."""

import numpy as np
import pytest

from npswin.verify import diagnose
from npswin.verify.fits.explanation import times
from npswin.verify.fits.tiles import tile_by_tile
from npswin.verify.graph import Operation, Run
from npswin.verify.mistakes.mistake import change_node, gather, gather_node, transform_input
from npswin.verify.mistakes.moved_addends import fit_addends
from npswin.verify.mistakes.moved_slices import fit_columns, fit_slices
from npswin.verify.mistakes.tiled_context import fit_tiles
from npswin.verify.mistakes.told_by_gradient import fit_by_gradient
from tests.verify.keys import computed, miniature_trace, odd_trace

GRAPH, SOURCES = odd_trace().graph, odd_trace().sources
ATTN = "layers.2.blocks.0.attn"  # of three heads and one window
WINDOWS = "layers.0.blocks.0.attn"
SHIFTED = "layers.1.blocks.1.attn"  # of two heads and several windows
TOLERANCE = 1e-9


def told(fit, name, changes):
    """What a fit says of a tensor of a port that has the changes."""
    return [one.detail for one in told_fits(fit, name, changes)]


def told_fits(fit, name, changes):
    """The explanations of a tensor of a port that has the changes; each has to give the tensor."""
    tensors = computed(GRAPH.replaced(changes), SOURCES)
    run = Run(GRAPH, SOURCES | tensors)
    fits = list(fit(run, name, tensors[name], TOLERANCE))
    for one in fits:
        assert np.allclose(run.replaced(one.changes).compute(name), tensors[name], atol=TOLERANCE)
    return fits


def before(name, index, pair):
    return change_node(GRAPH.nodes[name], transform_input(GRAPH.nodes[name].operation, index, pair))


def of_heads(source):
    return gather(lambda x: x[:, :, source])


def of_all_windows(move):
    return gather(lambda x: x.reshape(-1, *x.shape[2:])[move(np.arange(x.shape[0] * x.shape[1]))].reshape(x.shape))


SLICES = {
    "attn.k: head h is head h // 2": (f"{ATTN}.scores", 1, of_heads([0, 0, 1])),
    "attn.q_scaled: the heads are rolled by -1": (f"{ATTN}.scores", 0, of_heads([1, 2, 0])),
    "attn.v: image 0 in place of all images": (f"{ATTN}.context", 1, gather(lambda x: x[[0, 0]])),
    "attn.v: odd windows of the batch are the one before": (
        f"{WINDOWS}.context", 1, of_all_windows(lambda w: w // 2 * 2)),
    "attn.probabilities: window of the batch w is window of the batch w - 1, at least 0": (
        f"{WINDOWS}.context", 0, of_all_windows(lambda w: np.maximum(w - 1, 0))),
}  # fmt: skip


@pytest.mark.parametrize("words", SLICES)
def test_a_factor_of_another_place_is_told(words):
    name, index, pair = SLICES[words]
    assert any(words in one for one in told(fit_slices, name, before(name, index, pair)))


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (lambda width: np.arange(width), f"its columns of qkv start at 0, not at {2 * 24}"),
        (lambda width: 2 * width - 1 + np.arange(width), "its columns of qkv start 1 before the right ones"),
        (lambda width: 3 * np.arange(width) + 2, "channel c of v is column 3 c + 2 of qkv"),
    ],
)
def test_other_columns_of_qkv_are_told(columns, words):
    def rearranged(qkv):
        x = qkv[..., columns(qkv.shape[-1] // 3)]
        return x.reshape(*x.shape[:-1], 3, -1).swapaxes(2, 3)

    name = f"{ATTN}.v"
    assert told(fit_columns, name, gather_node(GRAPH.nodes[name], "split_heads", rearranged)) == [words]


@pytest.mark.parametrize("size", [2, 4])
def test_what_is_accumulated_over_tiles_of_keys_is_told(size):
    node = GRAPH.nodes[f"{WINDOWS}.context"]
    words = f"in tiles of {size} keys: the accumulated context is not rescaled when the largest score grows"
    keys = SOURCES[f"{WINDOWS}.relative_position_bias_table"].shape[0]
    ways = [(said, rows) for said, rows in tile_by_tile(keys, "the accumulated context is") if words in said]
    assert len(ways) == 1, [said for said, _ in ways]

    def forward(p, v, scores):
        return ways[0][1](scores) @ v, (p, v)

    def backward(dy, cache):
        return (*node.operation.backward(dy, cache), None)

    inputs = (*node.inputs, GRAPH.nodes[f"{WINDOWS}.probabilities"].inputs[0])
    found = told(fit_tiles, node.name, change_node(node, Operation("mix", forward, backward), inputs=inputs))
    assert found
    assert all(words in one for one in found)


DRAWN = np.random.default_rng(0)
GRADIENTS = {
    "channel c is channel 6 (c % 4) + c // 4": (
        "head", 0, gather(lambda x: x[:, np.arange(24) % 4 * 6 + np.arange(24) // 4])),
    "dropout is left on: 20.0% of the numbers are drawn and 0, the others are multiplied by 1.25": (
        f"{ATTN}.proj", 0, times((DRAWN.random((2, 1, 9, 24)) >= 0.2) / 0.8)),
    "token row 0 and token row 1 are exchanged": (
        f"{ATTN}.context", 1, gather(lambda x: x[:, :, :, [3, 4, 5, 0, 1, 2, 6, 7, 8]])),
}  # fmt: skip


@pytest.mark.parametrize("words", GRADIENTS)
def test_the_gradient_by_an_input_tells_how_it_was_changed(words):
    name, index, pair = GRADIENTS[words]
    found = told(fit_by_gradient, name, before(name, index, pair))
    assert any(words in one for one in found), found


ADDENDS = {
    "mask is that of window (w + 1) % nW": ("masked_scores", lambda b, w, h, size: (w + 1) % size),
    "mask is that of window w // 2": ("masked_scores", lambda b, w, h, size: w // 2),
    "relative_position_bias is that of head w % heads": ("biased_scores", lambda b, w, h, size: w % size),
}


@pytest.mark.parametrize("words", ADDENDS)
def test_the_bias_or_mask_of_another_head_or_window_is_told(words):
    name, index = ADDENDS[words]
    node = GRAPH.nodes[f"{SHIFTED}.{name}"]

    def forward(scores, addend):
        return scores + addend[index(*np.indices(scores.shape[:3]), len(addend))], None

    changes = change_node(node, Operation(node.operation.name, forward, lambda dy, _: (dy, None)))
    (fit,) = told_fits(fit_addends, node.name, changes)
    assert any(words in one for one in (fit.detail, *fit.also)), fit


@pytest.mark.parametrize("fit", [fit_slices, fit_columns, fit_tiles, fit_by_gradient, fit_addends])
def test_a_right_port_and_unrelated_numbers_are_not_explained(fit):
    tensors = SOURCES | computed(GRAPH, SOURCES)
    for name in (
        f"{ATTN}.context",
        f"{ATTN}.scores",
        f"{ATTN}.v",
        f"{WINDOWS}.context",
        f"{SHIFTED}.masked_scores",
        "head",
    ):
        run = Run(GRAPH, tensors)
        assert not list(fit(run, name, tensors[name], TOLERANCE))
        noise = 0.1 * np.random.default_rng(0).standard_normal(tensors[name].shape)
        read = GRAPH.nodes[name].inputs[0]
        wrong = {name: tensors[name] + noise, f"grad/{read}": tensors[f"grad/{read}"] ** 2}
        assert not list(fit(Run(GRAPH, tensors | wrong), name, wrong[name], TOLERANCE))


def test_an_attention_dropout_behind_the_probabilities_is_one_cause_in_two_blocks():
    key, changes = miniature_trace(), {}
    for at, seed in (("layers.1.blocks.0.attn", 0), ("layers.1.blocks.1.attn", 1)):
        shape = Run(key.graph, key.sources).value(f"{at}.probabilities").shape
        kept = (np.random.default_rng(seed).random(shape) >= 0.1) / 0.9
        node = key.graph.nodes[f"{at}.context"]
        changes |= change_node(node, transform_input(node.operation, 0, times(kept)))
    diagnosis = diagnose(key, computed(key.graph.replaced(changes), key.sources, "float32", seed=0))
    assert [cause.places for cause in diagnosis.causes] == [list(changes)], str(diagnosis)
    assert "probabilities: attention dropout is left on: 10.0% of the numbers are drawn" in str(diagnosis.causes[0])
