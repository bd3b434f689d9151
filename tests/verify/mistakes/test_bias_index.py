"""A bias whose numbers are added at other places is told by the rule of their index."""

from dataclasses import replace

import numpy as np
import pytest

from npswin.verify import diagnose
from npswin.verify.graph import Run
from npswin.verify.mistakes.bias_index import fit_bias_index
from npswin.verify.mistakes.mistake import change_node
from tests.verify.keys import computed, miniature_trace

KEY = miniature_trace()
GRAPH = KEY.graph
FC1, NORM = "layers.0.blocks.0.mlp.fc1", "layers.1.blocks.0.norm2"
SHAPE = Run(GRAPH, KEY.sources).value(FC1).shape
BATCH, HEIGHT, WIDTH, HIDDEN = SHAPE


def planted(name, index):
    """bias[index] is added, with the derivative of that."""
    operation = GRAPH.nodes[name].operation

    def forward(x, weight, bias, **settings):
        y, cache = operation.forward(x, weight, 0 * bias, **settings)
        return y + bias[index], (cache, len(bias))

    def backward(dy, caches):
        sums = np.zeros(caches[1])
        np.add.at(sums, np.broadcast_to(index, dy.shape), dy)
        return (*operation.backward(dy, caches[0])[:2], sums.astype(dy.dtype))

    return change_node(GRAPH.nodes[name], replace(operation, forward=forward, backward=backward))


TOKEN = np.arange(BATCH * HEIGHT * WIDTH).reshape(BATCH, HEIGHT, WIDTH, 1)
COLUMN = np.arange(WIDTH).reshape(1, 1, WIDTH, 1)
CHANNEL = np.arange(HIDDEN)
CASES = {
    f"number t mod {HIDDEN} to all channels of token t, counted through the batch": TOKEN % HIDDEN + 0 * CHANNEL,
    f"number (t + c) mod {HIDDEN} to channel c of token t, counted through the batch": (TOKEN + CHANNEL) % HIDDEN,
    f"number (2t + c + 3) mod {HIDDEN} to channel c of token t, counted through a row": (2 * COLUMN + CHANNEL + 3)
    % HIDDEN
    + 0 * TOKEN,
}


@pytest.mark.parametrize("words", CASES)
def test_the_rule_of_a_bias_is_told(words):
    wrong = GRAPH.replaced(planted(FC1, CASES[words]))
    diagnosis = diagnose(KEY, computed(wrong, KEY.sources, "float32", seed=0))
    (cause,) = diagnosis.causes
    assert f"{FC1}.bias is added otherwise: {words}" in str(cause)
    assert not diagnosis.unexplained


@pytest.mark.parametrize("name", [FC1, NORM])
def test_other_numbers_have_no_rule(name):
    run = Run(GRAPH, KEY.sources)
    right, bias = run.value(name), KEY.sources[f"{name}.bias"]
    random = np.random.default_rng(0).integers(0, len(bias), right.shape)
    for added in (bias[random], np.random.default_rng(0).standard_normal(right.shape), bias):
        assert not list(fit_bias_index(run, name, right - bias + added, 1e-6))
