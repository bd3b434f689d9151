"""Linear layers that leave out the first or the last terms of their sums are told, by a few rows already."""

import numpy as np
import pytest

from npswin.verify import diagnose
from npswin.verify.fits.explanation import times
from npswin.verify.graph import Run
from npswin.verify.mistakes.mistake import change_node, transform_input
from npswin.verify.mistakes.partial_sums import fit_partial_sums
from tests.verify.keys import computed, miniature_trace

KEY = miniature_trace()
GRAPH = KEY.graph
HEAD, FC2, QKV = "head", "layers.0.blocks.0.mlp.fc2", "layers.0.blocks.0.attn.qkv"


def mask_of_tail(name, numbers):
    mask = np.ones(KEY.sources[name].shape)
    mask.reshape(-1)[-numbers:] = 0
    return mask


def planted(name, weight, bias=1.0):
    operation = transform_input(GRAPH.nodes[name].operation, 1, times(weight))
    return change_node(GRAPH.nodes[name], transform_input(operation, 2, times(bias)))


def half_of(name, first):
    mask = np.ones(KEY.sources[f"{name}.weight"].shape)
    half = mask.shape[1] // 2
    mask[:, slice(half) if first else slice(half, None)] = 0
    return mask


CHANNELS = KEY.sources["head.weight"].shape[1]
CASES = {
    f"the last {CHANNELS + 3} of the {5 * CHANNELS} numbers of head.weight are 0": planted(
        HEAD, mask_of_tail("head.weight", CHANNELS + 3)
    ),
    f"the last 7 of the {5 * CHANNELS} numbers of head.weight are 0; head.bias is not added": planted(
        HEAD, mask_of_tail("head.weight", 7), 0.0
    ),
    f"{FC2}: the first 2 terms are not in the sums": planted(FC2, half_of(FC2, True)),
    f"{QKV}: the last half of the terms is not in the sums": planted(QKV, half_of(QKV, False)),
}


@pytest.mark.parametrize("words", CASES)
def test_terms_that_are_left_out_are_told(words):
    diagnosis = diagnose(KEY, computed(GRAPH.replaced(CASES[words]), KEY.sources, "float32", seed=0))
    (cause,) = diagnosis.causes
    assert words in str(cause)
    assert not diagnosis.unexplained


@pytest.mark.parametrize("name", [HEAD, FC2])
def test_other_weights_are_no_partial_sums(name):
    run = Run(GRAPH, KEY.sources)
    other = np.random.default_rng(0).standard_normal(KEY.sources[f"{name}.weight"].shape)
    found = run.replaced(planted(name, other)).compute(name)
    assert not list(fit_partial_sums(run, name, found, 1e-5))
    assert not list(fit_partial_sums(run, name, run.compute(name), 1e-5))
