"""Gradients that are each multiplied by a power of what is counted where the parameter is used."""

import numpy as np
import pytest

from npswin.verify import diagnose
from npswin.verify.graph import Run
from tests.verify.keys import miniature_trace, right
from tests.verify.port.test_gradient_errors import only_cause

KEY = miniature_trace()
RUN, DUMP = Run(KEY.graph, KEY.sources), right("float32")
BIASES = [name for name in KEY.graph.parameters if ".blocks." in name and name.endswith(".bias") and "norm" not in name]
NORMS = [name for name in KEY.graph.parameters if name.endswith("norm1.weight")]


def used(name):
    """The shape (B, H, W, C), or (B, nW, N, C) in attention, of the first result that a parameter makes."""
    return RUN.value(KEY.graph.consumers[name][0]).shape


def of_tokens(name):
    shape = used(name)
    return np.prod(shape[2:-1] if ".attn." in name else shape[1:-1])


def diagnosis_with(factors):
    changes = {f"grad/{name}": DUMP[f"grad/{name}"] * np.float32(factor) for name, factor in factors.items()}
    return diagnose(KEY, DUMP | changes)


CASES = {
    "biases": (BIASES, lambda name: 1 / of_tokens(name), "1 / the tokens of an image, or of a window where it is"),
    "norms": (NORMS, lambda name: np.prod(used(name)[:-1]), "the tokens of all images"),
    "root": (NORMS, lambda name: used(name)[-1] ** -0.5, "1 / the root of the channels of the result"),
}


@pytest.mark.parametrize("what", CASES)
def test_one_count_tells_all_factors(what):
    names, factor, words = CASES[what]
    factors = {name: factor(name) for name in names}
    assert len(set(factors.values())) > 1
    cause = only_cause(diagnosis_with(factors))
    assert f"multiplied by {words}" in str(cause)
    assert f"{len(names)} tensors" in str(cause)


def test_factors_that_count_nothing():
    factors = {name: 1 / (2.3 + place) for place, name in enumerate(NORMS)}
    diagnosis = diagnosis_with(factors)
    assert not [one for one in diagnosis.causes if one.hypothesis.name == "gradients-counted"], str(diagnosis)
