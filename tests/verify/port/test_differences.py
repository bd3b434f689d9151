"""Where and how a tensor differs is told even where nothing explains it."""

from dataclasses import replace

import numpy as np
import pytest

from npswin.verify import diagnose
from npswin.verify.fits.words import Axis
from npswin.verify.mistakes.mistake import change_node
from npswin.verify.port.diagnosis import diagnosis_json
from npswin.verify.port.differences import difference_text
from tests.verify.keys import computed, miniature_trace

AXES = [[Axis("B", 3)], [Axis("window row", 2), Axis("window column", 2)], [Axis("C", 6)]]
RANDOM = np.random.default_rng(0)
RIGHT = RANDOM.standard_normal((3, 4, 6))
PADDED = RIGHT * (RIGHT > -0.5)


def with_other(array, *places):
    other = array.copy()
    other[places] = RANDOM.standard_normal(other[places].shape)
    return other


CASES = {
    "it differs in the last image alone": (RIGHT, with_other(RIGHT, 2)),
    "it differs in image 1 of channels 2, 3 alone": (RIGHT, with_other(RIGHT, 1, slice(None), slice(2, 4))),
    "it differs in window row 0 alone": (RIGHT, with_other(RIGHT, slice(None), slice(0, 2))),
    "it differs only where it should be 0": (
        PADDED,
        np.where(PADDED == 0, RANDOM.standard_normal(RIGHT.shape), PADDED),
    ),
    "the right numbers in another order, that of the channels": (RIGHT, RANDOM.permuted(RIGHT, axis=2)),
    "the right numbers in another order": (RIGHT, RANDOM.permutation(RIGHT.reshape(-1)).reshape(RIGHT.shape)),
    "about as roundings to float16 make it": (RIGHT, RIGHT * (1 + 2e-4 * RANDOM.standard_normal(RIGHT.shape))),
    "the cosine between both is 0.9": (RIGHT, RIGHT + 0.3 * RANDOM.standard_normal(RIGHT.shape)),
    "a relative error of 1.": (RIGHT, RANDOM.standard_normal(RIGHT.shape)),
    "channel 0 alone; 17% of the numbers are infinite or NaN": (RIGHT, np.where(np.arange(6) < 0.5, np.inf, RIGHT)),
}


@pytest.mark.parametrize("words", CASES)
def test_a_difference_is_described(words):
    right, found = CASES[words]
    assert words in difference_text(found, right, AXES, 1e-6)


def test_equal_numbers_do_not_differ():
    assert difference_text(RIGHT + 1e-7, RIGHT, AXES, 1e-6) == ""


def test_it_stands_below_a_tensor_that_nothing_explains():
    key, name = miniature_trace(), "layers.0.blocks.0.mlp.act"
    node = key.graph.nodes[name]
    noise = RANDOM.standard_normal(key.shapes[name])
    noise[0] = 0

    def forward(x, **settings):
        y, saved = node.operation.forward(x, **settings)
        return y + noise.astype(x.dtype), saved

    wrong = key.graph.replaced(change_node(node, replace(node.operation, forward=forward)))
    diagnosis = diagnose(key, computed(wrong, key.sources, "float32", seed=0))
    assert list(diagnosis.unexplained) == [name]
    assert f"nothing explains {name}\n   it differs in the last image alone; a relative error of" in str(diagnosis)
    assert diagnosis_json(diagnosis)["differences"][name].startswith("it differs in the last image alone")
