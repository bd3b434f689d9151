"""Each mistake of the catalogue, planted where it can be, is what the diagnosis names."""

from zlib import crc32

import numpy as np
import pytest

from npswin.verify import trace
from npswin.verify.graph import Run
from npswin.verify.mistakes import CATALOGUE
from npswin.verify.mistakes.mistake import after, before, elementwise, gather, times
from npswin.verify.port.comparison import Comparer
from npswin.verify.port.diagnosis import diagnose
from npswin.verify.port.measure import spread
from tests.verify.keys import candidate_of, computed, lively, miniature_trace

NAMES = [mistake.name for mistake in CATALOGUE]


def ways(mistake, graph):
    """(place, detail, changes) for each way to make a mistake in a graph."""
    return [(place, *way) for place in graph.nodes for way in mistake.plant(graph, place)]


UNSEEN = 1e-4  # of a tensor: what a port in float32 may leave unsaid


@pytest.mark.parametrize("mistake", CATALOGUE, ids=lambda mistake: mistake.name)
def test_a_planted_mistake_is_named(mistake):
    """Each way to make it, at a place drawn from those where it can be made; the port computes in float32, if it can
    see it."""
    key, precision = miniature_trace(), "float64" if mistake.name == "gelu-erf" else "float32"
    found = ways(mistake, key.graph)
    assert found, "the miniature has no place for it"
    rng = np.random.default_rng(crc32(mistake.name.encode()))
    named = 0
    for detail in dict.fromkeys(detail for _, detail, _ in found):
        places = [way for way in found if way[1] == detail]
        place, _, changes = places[int(rng.integers(len(places)))]
        graph = key.graph.replaced(changes)
        diagnosis = diagnose(Comparer(key, candidate_of(computed(graph, key.sources, precision, seed=3), key.shapes)))
        if diagnosis.ok:
            assert effect(graph, key) < UNSEEN, (place, detail)
            continue
        assert [cause.hypothesis.name for cause in diagnosis.causes] == [mistake.name], (place, detail, str(diagnosis))
        assert not diagnosis.unexplained
        alike = [diagnosis.causes[0].hypothesis, *(one for one in diagnosis.causes[0].others if one.excess <= 1)]
        assert detail in [one.detail for one in alike]
        named += 1
    assert named


def effect(graph, key):
    """The largest relative difference that a change of the graph makes to an activation or a gradient."""
    wrong, right = computed(graph, key.sources), computed(key.graph, key.sources)
    return max(spread(wrong[name], right[name])[0] for name in right)


@pytest.mark.parametrize("mistake", CATALOGUE, ids=lambda mistake: mistake.name)
def test_a_planted_operation_has_the_derivative_of_its_own_forward_pass(mistake):
    """But for mistakes of the backward pass, whose forward pass is the right one and whose derivative is not."""
    key = miniature_trace()
    rng = np.random.default_rng(0)
    found = ways(mistake, key.graph)
    place, detail, changes = found[int(rng.integers(len(found)))]
    graph = key.graph.replaced(changes)
    run = Run(graph, key.sources)
    changed = [name for name in changes if name in graph.differentiable]
    wrong = 0
    for read in dict.fromkeys(read for name in changed for read in graph.nodes[name].inputs):
        if read not in graph.differentiable:
            continue
        value, step = run.value(read), 1e-6
        direction = rng.standard_normal(value.shape)
        ends = [Run(graph, {**key.sources, read: value + sign * step * direction}).value("loss") for sign in (1, -1)]
        slope, claimed = float(ends[0] - ends[1]) / (2 * step), float(np.vdot(run.gradient(read), direction))
        if mistake.backward:
            wrong += abs(slope - claimed) > 1e-4 * abs(slope)
        else:
            assert claimed == pytest.approx(slope, rel=1e-4, abs=1e-7), (place, detail, read)
    if mistake.backward:
        assert wrong
        assert float(run.value("loss")) == key.loss


def test_names_are_unique_and_texts_say_something():
    assert len(set(NAMES)) == len(NAMES)
    for mistake in CATALOGUE:
        assert mistake.says
        assert not mistake.says.endswith(".")
        assert mistake.mend


def test_a_move_goes_back_by_its_transpose():
    forward, backward = gather(lambda x: np.pad(x[:, ::-1], ((0, 1), (0, 0))))
    x, dy = np.arange(6.0).reshape(2, 3), np.random.default_rng(0).standard_normal((3, 3))
    y, cache = forward(x)
    assert np.array_equal(y, [[2, 1, 0], [5, 4, 3], [0, 0, 0]])
    assert np.vdot(y, dy) == pytest.approx(np.vdot(x, backward(dy, cache)))


def test_what_is_taken_twice_gets_both_derivatives():
    forward, backward = gather(lambda x: np.concatenate([x, x]))
    y, cache = forward(np.ones(2))
    assert np.array_equal(backward(np.arange(4.0), cache), [2, 4])
    assert y.shape == (4,)


def test_before_and_after():
    graph = miniature_trace().graph
    scale = graph.nodes["layers.0.blocks.0.attn.q_scaled"].operation
    for changed in (before(scale, 0, times(3.0)), after(scale, times(3.0))):
        y, cache = changed.forward(np.ones(2), factor=0.5)
        assert np.array_equal(y, [1.5, 1.5])
        assert np.array_equal(changed.backward(np.ones(2), cache)[0], [1.5, 1.5])


def test_an_elementwise_derivative_is_exact():
    operation = elementwise("cube", lambda x: x**3)
    x = np.array([0.5, -2.0])
    _, cache = operation.forward(x)
    np.testing.assert_allclose(operation.backward(np.ones(2), cache)[0], 3 * x * x, rtol=1e-15)


def test_a_mistake_in_every_block_is_one_cause_with_many_places():
    key = miniature_trace()
    mistake = next(mistake for mistake in CATALOGUE if mistake.name == "gelu-tanh")
    changes = {}
    for _, _, change in ways(mistake, key.graph):
        changes |= change
    tensors = computed(key.graph.replaced(changes), key.sources, "float32", seed=0)
    diagnosis = diagnose(Comparer(key, candidate_of(tensors, key.shapes)))
    assert len(diagnosis.causes) == 1
    assert diagnosis.causes[0].places == list(changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"position_bias": "shared"},
        {"position_bias": "none", "qkv_bias": False},
        {"position_bias": "full", "merge_norm": False, "merge_bias": True},
        {"norm_after_pool": True, "patch_norm": False, "mask_value": float("-inf")},
        {"ape": True, "in_chans": 1},
        {"depths": (2,), "num_heads": (1,), "window_size": 1, "img_size": 8},
    ],
)
def test_every_mistake_can_be_tried_in_every_variant(changes):
    """Whatever a graph looks like, planting either makes a graph that is as good as any or offers nothing."""

    model = lively(**changes)
    size = model.config["img_size"]
    size = (size, size) if isinstance(size, int) else tuple(size)
    images = np.random.default_rng(0).standard_normal((2, model.in_chans, *size))
    key = trace(model, images, np.array([0, 1]))
    for mistake in CATALOGUE:
        for _, _, change in ways(mistake, key.graph)[:4]:
            run = Run(key.graph.replaced(change), key.sources)
            with np.errstate(all="ignore"):  # a softmax over the queries of a mask of -inf is no number, as in a port
                assert np.isfinite(run.value("loss")) or model.config["mask_value"] == "-inf", mistake.name
                assert run.gradient("input").shape == images.shape
