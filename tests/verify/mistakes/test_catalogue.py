"""Each mistake of the catalogue: made in a graph, it is the one that the diagnosis finds."""

from zlib import crc32

import numpy as np
import pytest

from npswin.verify import mistakes, trace
from npswin.verify.graph import Run
from npswin.verify.mistakes import CATALOGUE
from npswin.verify.mistakes.mistake import elementwise, gather, multiply_by, transform_input, transform_output
from npswin.verify.port.comparer import Comparer
from npswin.verify.port.distance import relative_and_peak
from npswin.verify.port.search import search_mistakes
from tests import thorough
from tests.thorough import some
from tests.verify.keys import candidate_of, computed, miniature_trace, odd_trace, random_model

NAMES = [mistake.name for mistake in CATALOGUE]
# From every module of the catalogue; with --thorough every mistake is planted.
SAMPLE = {
    *(
        "bgr",
        "pixels-overflow",
        "norm-unbiased",
        "gelu-tanh",
        "roll-back-direction",
        "pad-value",
        "join-columns-first",
        "scale-missing",
    ),
    *("bias-xy", "mask-missing", "mask-use", "merge-pad", "residual-after-norm", "other-parameters", "softmax-sum"),
    *("block-skipped", "norm-after-branch", "norm-after-pool", "bias-later", "padded-keys-masked", "pad-after-shift"),
    *("bias-overwritten", "bias-use", "bias-after-softmax", "log2-of-e", "softmax-axis"),
    *("label-smoothing", "gradient-detached"),
}
SAMPLE_DETAILS = 2  # of each mistake
SAMPLE_VARIANTS = 1  # of each mistake in each model


def variants_of(mistake, graph):
    """(place, detail, changes) for each variant of a mistake at each place of a graph."""
    return [(place, *variant) for place in graph.nodes for variant in mistake.plant(graph, place)]


def trace_with(mistake):
    """The miniature, if it has a place for a mistake; else a model whose sizes are odd."""
    return miniature_trace() if variants_of(mistake, miniature_trace().graph) else odd_trace()


UNSEEN = 1e-4  # relative change of a tensor that a port in float32 need not show


def test_the_sample_has_a_mistake_of_every_module():
    tuples = [part for part in vars(mistakes).values() if isinstance(part, tuple) and part and part is not CATALOGUE]
    parts = [part for part in tuples if set(part) <= set(CATALOGUE)]
    assert sum(map(len, parts)) == len(CATALOGUE)
    assert all(SAMPLE & {mistake.name for mistake in part} for part in parts)
    assert set(NAMES) >= SAMPLE


@pytest.mark.parametrize(
    "mistake", some(CATALOGUE, lambda mistake: mistake.name in SAMPLE), ids=lambda mistake: mistake.name
)
def test_a_planted_mistake_is_found(mistake):
    """Each variant, at a place drawn from those where it can be made. The port is in float32, if that shows it."""
    key, precision = trace_with(mistake), "float64" if mistake.name == "gelu-erf" else "float32"
    found = variants_of(mistake, key.graph)
    assert found, "the models have no place for it"
    rng = np.random.default_rng(crc32(mistake.name.encode()))
    named = 0
    details = list(dict.fromkeys(detail for _, detail, _ in found))
    for detail in details if thorough.enabled else details[:SAMPLE_DETAILS]:
        places = [variant for variant in found if variant[1] == detail]
        place, _, changes = places[int(rng.integers(len(places)))]
        graph = key.graph.replaced(changes)
        diagnosis = search_mistakes(
            Comparer(key, candidate_of(computed(graph, key.sources, precision, seed=3), key.shapes))
        )
        if diagnosis.ok:
            assert effect(graph, key) < UNSEEN, (place, detail)
            continue
        assert [cause.hypothesis.name for cause in diagnosis.causes] == [mistake.name], (place, detail, str(diagnosis))
        assert not diagnosis.unexplained
        alike = [diagnosis.causes[0].hypothesis, *(one for one in diagnosis.causes[0].others if one.explains_symptom)]
        told = [one.detail for one in alike]
        assert detail in told or any(text.startswith("seen in ") for text in told)  # one reading of all gradients
        named += 1
    assert named


def effect(graph, key):
    """The largest relative difference that a change of the graph makes to an activation or a gradient."""
    wrong, right = computed(graph, key.sources), computed(key.graph, key.sources)
    return max(relative_and_peak(wrong[name], right[name])[0] for name in right)


@pytest.mark.parametrize("mistake", CATALOGUE, ids=lambda mistake: mistake.name)
def test_a_planted_operation_has_the_derivative_of_its_own_forward_pass(mistake):
    """Except for mistakes of the backward pass: their forward pass is the correct one and their derivative is not."""
    key = trace_with(mistake)
    rng = np.random.default_rng(0)
    # A parameter that was not loaded is 0 whatever is given, and has the gradient of one that was.
    found = [variant for variant in variants_of(mistake, key.graph) if "was it loaded" not in variant[1]]
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


def test_names_are_unique_and_texts_are_not_empty():
    assert len(set(NAMES)) == len(NAMES)
    for mistake in CATALOGUE:
        assert mistake.description
        assert not mistake.description.endswith(".")
        assert mistake.fix


def test_the_backward_pass_of_a_gather_is_its_transpose():
    forward, backward = gather(lambda x: np.pad(x[:, ::-1], ((0, 1), (0, 0))))
    x, dy = np.arange(6.0).reshape(2, 3), np.random.default_rng(0).standard_normal((3, 3))
    y, cache = forward(x)
    assert np.array_equal(y, [[2, 1, 0], [5, 4, 3], [0, 0, 0]])
    assert np.vdot(y, dy) == pytest.approx(np.vdot(x, backward(dy, cache)))


def test_a_number_that_is_gathered_twice_gets_both_derivatives():
    forward, backward = gather(lambda x: np.concatenate([x, x]))
    y, cache = forward(np.ones(2))
    assert np.array_equal(backward(np.arange(4.0), cache), [2, 4])
    assert y.shape == (4,)


def test_transform_input_and_transform_output():
    graph = miniature_trace().graph
    scale = graph.nodes["layers.0.blocks.0.attn.q_scaled"].operation
    for changed in (transform_input(scale, 0, multiply_by(3.0)), transform_output(scale, multiply_by(3.0))):
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
    for _, _, change in variants_of(mistake, key.graph):
        changes |= change
    tensors = computed(key.graph.replaced(changes), key.sources, "float32", seed=0)
    diagnosis = search_mistakes(Comparer(key, candidate_of(tensors, key.shapes)))
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
    """In every graph a mistake has no variants, or its variants are graphs that can be computed."""
    model = random_model(**changes)
    size = model.config["img_size"]
    size = (size, size) if isinstance(size, int) else tuple(size)
    images = np.random.default_rng(0).standard_normal((2, model.in_chans, *size))
    key = trace(model, images, np.array([0, 1]))
    for mistake in CATALOGUE:
        for _, _, change in variants_of(mistake, key.graph)[: 4 if thorough.enabled else SAMPLE_VARIANTS]:
            run = Run(key.graph.replaced(change), key.sources)
            with np.errstate(all="ignore"):  # a softmax over the queries of a mask of -inf is NaN, as in a port
                assert np.isfinite(run.value("loss")) or model.config["mask_value"] == "-inf", mistake.name
                assert run.gradient("input").shape == images.shape
