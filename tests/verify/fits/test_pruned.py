"""Weights that are 0 below a threshold, and what the threshold is."""

import numpy as np
import pytest

from npswin.verify import diagnose
from npswin.verify.fits.explanation import Evidence
from npswin.verify.fits.sparse import constant_in_places
from npswin.verify.fits.words import Axis
from tests.verify.keys import computed, miniature_trace

RNG = np.random.default_rng(0)
X = RNG.standard_normal((24, 16)) + 0.1
AXES = [[Axis("row", 24)], [Axis("column", 16)]]
LOWER = float(np.quantile(np.abs(X), 0.5, method="lower"))  # PyTorch's median
LIMITS = {
    ", the median of the absolute values": LOWER,
    ", the mean of the absolute values": np.abs(X).mean(),
    ", the mean": X.mean(),
    ", the standard deviation": X.std(),
    "": 0.37,
}


def words_of(found, tolerance=1e-6):
    return [one.words for one in constant_in_places(Evidence(found, X, AXES, tolerance, {}))]


@pytest.mark.parametrize("statistic", LIMITS)
def test_the_statistic_that_a_threshold_is(statistic):
    (words,) = words_of(np.where(LIMITS[statistic] > X, 0, X))
    assert " are 0: those below " in words
    assert words.endswith(statistic)


def test_zeros_up_to_rounding_are_zeros():
    found = np.where(LOWER > X, 0, X)
    evidence = Evidence(found + 1e-8 * RNG.standard_normal(X.shape), X, AXES, 1e-6, {})
    (one,) = constant_in_places(evidence)
    assert " of the numbers are 0: those below " in one.words
    np.testing.assert_array_equal(one.pair[0](X)[0], found)


def test_weights_pruned_by_their_value_are_one_cause():
    key = miniature_trace()
    names = [name for name in key.sources if name.endswith("mlp.fc1.weight")]
    pruned = {}
    for name in names:
        weight = key.sources[name]
        pruned[name] = np.where(weight < np.quantile(np.abs(weight), 0.5, method="lower"), 0, weight)
    tensors = computed(key.graph, {**key.sources, **pruned}, "float32", seed=7)
    diagnosis = diagnose(key, {name: array for name, array in tensors.items() if name not in names})
    assert len(diagnosis.causes) == 1, str(diagnosis)
    assert not diagnosis.unexplained
    assert "weight its numbers below the median of their absolute values 0" in str(diagnosis.causes[0])
