"""General families: a change that is no entry of the catalogue is found, and each has the derivative that it claims."""

from itertools import islice

import numpy as np
import pytest

from npswin.verify.graph import Run
from npswin.verify.mistakes import CATALOGUE, GENERAL
from npswin.verify.mistakes.not_applicable import NotApplicable
from npswin.verify.port.comparer import Comparer
from npswin.verify.port.search import search_mistakes
from tests.verify.keys import candidate_of, computed, miniature_trace
from tests.verify.mistakes.test_catalogue import variants_of

PLANTED = 2  # of each family
NO_DERIVATIVE = (
    "rounded to",
    "rounded to integers",
    "truncated",
    "sign is taken",
    "median",
    "in all of",
    "largest score",
)


def some_variants(mistake, count):
    """Some of the changes that the shapes allow."""
    key = miniature_trace()
    found = variants_of(mistake, key.graph)
    order = np.random.default_rng(len(mistake.name)).permutation(len(found))
    possible = (found[int(index)] for index in order)
    return list(islice((one for one in possible if can_be_computed(key, one[2])), count))


def can_be_computed(key, changes):
    try:
        with np.errstate(all="ignore"):
            computed(key.graph.replaced(changes), key.sources)
    except (ValueError, IndexError, NotApplicable):
        return False
    return True


@pytest.mark.parametrize("mistake", GENERAL, ids=lambda mistake: mistake.name)
def test_the_derivative_is_that_of_the_changed_forward_pass(mistake):
    key = miniature_trace()
    if mistake.backward or mistake.name == "changed-parameter":
        pytest.skip("its derivative is the mistake, or passes straight through a rounding")
    rng = np.random.default_rng(0)
    for place, detail, changes in some_variants(mistake, 3):
        if any(words in detail for words in NO_DERIVATIVE):
            continue
        graph = key.graph.replaced(changes)
        run = Run(graph, key.sources)
        with np.errstate(all="ignore"):
            if not np.isfinite(run.value("loss")):
                continue
            value, step = run.value("input"), 1e-6
            direction = rng.standard_normal(value.shape)
            loss = [Run(graph, {**key.sources, "input": value + s * direction}).value("loss") for s in (step, -step)]
            slope, claimed = float(loss[0] - loss[1]) / (2 * step), float(np.vdot(run.gradient("input"), direction))
        assert claimed == pytest.approx(slope, rel=1e-3, abs=1e-6), (place, detail)


@pytest.mark.parametrize("mistake", GENERAL, ids=lambda mistake: mistake.name)
def test_a_planted_change_is_explained(mistake):
    """By its own family, by another one that says the same, or by the catalogue."""
    key, tried = miniature_trace(), 0
    for place, detail, changes in some_variants(mistake, 12):
        if tried == PLANTED:
            break
        graph = key.graph.replaced(changes)
        with np.errstate(all="ignore"):
            tensors = computed(graph, key.sources, "float32", seed=2)
        if not all(np.isfinite(array).all() for array in tensors.values()):
            continue
        diagnosis = search_mistakes(Comparer(key, candidate_of(tensors, key.shapes)))
        if diagnosis.ok:
            continue
        tried += 1
        assert diagnosis.causes, (place, detail)
        assert not [name for name in diagnosis.unexplained if not name.startswith("grad/")], (place, detail)
    assert tried


def test_names_are_unique_and_texts_are_not_empty():
    names = [mistake.name for mistake in (*CATALOGUE, *GENERAL)]
    assert len(set(names)) == len(names)
    assert all(mistake.description and mistake.fix for mistake in GENERAL)
