"""Some tokens of q, k, v or the probabilities are those of another window, head or image."""

import numpy as np
import pytest

from npswin.verify import diagnose
from npswin.verify.graph import Run
from npswin.verify.mistakes.mistake import change_node, gather, transform_input
from npswin.verify.mistakes.moved_tokens import fit_moved_tokens
from tests.verify.keys import computed, odd_trace

KEY = odd_trace()
GRAPH, SOURCES = KEY.graph, KEY.sources
ATTN = "layers.0.blocks.0.attn"  # of several windows
HEADS = "layers.2.blocks.0.attn"  # of three heads
PRODUCTS = [name for name in GRAPH.nodes if name.endswith(".attn.scores")]
TOLERANCE = 1e-9


def before(name, index, tokens, moved):
    """The product of a factor (B, nW, heads, N, ...) some tokens of which are moved."""

    def rearranged(x):
        return np.where(np.isin(np.arange(x.shape[3]), np.arange(x.shape[3])[tokens])[:, None], moved(x), x)

    node = GRAPH.nodes[name]
    return change_node(node, transform_input(node.operation, index, gather(rearranged)))


def window_before(x):
    windows = x.reshape(-1, *x.shape[2:])
    return np.concatenate([windows[:1], windows[:-1]]).reshape(x.shape)


def head_before(x):
    return np.roll(x, 1, 2)


def first_image(x):
    return np.broadcast_to(x[:1], x.shape)


BEFORE = "window of the batch w is window of the batch w - 1, at least 0"
CASES = {
    f"attn.k, in the last 2 of 9 tokens: {BEFORE}": (f"{ATTN}.scores", 1, slice(-2, None), window_before),
    f"attn.q_scaled, in the first 3 of 9 tokens: {BEFORE}": (f"{ATTN}.scores", 0, slice(3), window_before),
    f"attn.v, in the last 4 of 9 tokens: {BEFORE}": (f"{ATTN}.context", 1, slice(-4, None), window_before),
    "attn.v, in the first 1 of 9 tokens: the heads are rolled by 1": (f"{HEADS}.context", 1, slice(1), head_before),
    "attn.probabilities, in tokens 3, 4: image 0 in place of all images": (
        f"{ATTN}.context", 0, slice(3, 5), first_image),
    "attn.k, in tokens 1, 4, 7: the heads are rolled by 1": (f"{HEADS}.scores", 1, slice(1, None, 3), head_before),
}  # fmt: skip


@pytest.mark.parametrize("words", CASES)
def test_tokens_of_another_place_are_told(words):
    changes = before(*CASES[words])
    (name,), tensors = changes, computed(GRAPH.replaced(changes), SOURCES)
    run = Run(GRAPH, SOURCES | tensors)
    fits = list(fit_moved_tokens(run, name, tensors[name], TOLERANCE))
    assert any(words in text for fit in fits for text in (fit.detail, *fit.also)), fits
    for fit in fits:
        assert np.allclose(run.replaced(fit.changes).compute(name), tensors[name], atol=TOLERANCE)


def test_a_last_tile_of_keys_that_is_late_is_one_cause():
    changes = {}
    for name in PRODUCTS:
        changes |= before(name, 1, slice(-2, None), window_before)
    diagnosis = diagnose(KEY, computed(GRAPH.replaced(changes), SOURCES, "float32", seed=0))
    assert [sorted(cause.places) for cause in diagnosis.causes] == [sorted(changes)], str(diagnosis)
    assert f"in the last 2 of 9 tokens: {BEFORE}" in str(diagnosis.causes[0].hypothesis)
    assert not diagnosis.unexplained


@pytest.mark.parametrize("name", [f"{ATTN}.scores", f"{ATTN}.context", f"{HEADS}.context"])
def test_right_products_and_other_tokens_are_not_explained(name):
    tensors = computed(GRAPH, SOURCES)
    run = Run(GRAPH, SOURCES | tensors)
    assert not list(fit_moved_tokens(run, name, tensors[name], TOLERANCE))
    noise = np.random.default_rng(0).standard_normal(tensors[name].shape)
    for wrong in (tensors[name] + noise, tensors[name] + noise * (np.arange(noise.shape[-1]) < 2)):
        assert not list(fit_moved_tokens(run, name, wrong, TOLERANCE))
