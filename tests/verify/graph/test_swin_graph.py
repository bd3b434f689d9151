"""The graph of a model gives the model's results, forward and backward."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import npswin
from npswin.verify.graph import GRADIENT_PREFIX, Graph, Node, Operation, Run, differing, swin_graph
from npswin.verify.mistakes import CATALOGUE
from tests.thorough import examples
from tests.verify.keys import SCALE, miniature_trace, random_model


@st.composite
def cases(draw):
    """A model's arguments, and the size of its images."""
    window = draw(st.integers(1, 4))
    patch = draw(st.integers(1, 3))
    size = tuple(draw(st.integers(1, 14)) for _ in range(2))
    other = draw(st.booleans())
    arguments = {
        "img_size": None if other else draw(st.sampled_from([(16, 16), (12, 20)])),
        "patch_size": patch,
        "window_size": window,
        "embed_dim": 4,
        "depths": draw(st.sampled_from([(2,), (1, 2), (2, 1)])),
        "num_heads": (2, 4),
        "qkv_bias": draw(st.booleans()),
        "ape": not other and draw(st.booleans()),
        "patch_norm": draw(st.booleans()),
        "position_bias": draw(st.sampled_from(["per_head", "shared", "full", "none"])),
        "mask_value": draw(st.sampled_from([-100.0, -np.inf])),
        "merge_norm": draw(st.booleans()),
        "merge_bias": draw(st.booleans()),
        "norm_after_pool": draw(st.booleans()),
        "in_chans": draw(st.integers(1, 3)),
        "num_classes": 3,
    }
    arguments["num_heads"] = arguments["num_heads"][: len(arguments["depths"])]
    return arguments, size


@settings(deadline=None, max_examples=examples(40, 20))
@given(cases(), st.integers(1, 3), st.integers(0, 9))
def test_every_gradient_is_the_models(case, batch, seed):
    arguments, size = case
    model = random_model(seed, **arguments)
    rng = np.random.default_rng(seed)
    images = rng.standard_normal((batch, model.in_chans, *size))
    labels = rng.integers(0, 3, batch)
    run = Run(swin_graph(model, size), {**model.params, "input": images, "labels": labels})

    logits, cache = model.forward(images)
    loss, dlogits = npswin.cross_entropy(logits, labels)
    model.zero_grad()
    dimages = model.backward(dlogits, cache)
    np.testing.assert_allclose(run.value("head"), logits, rtol=1e-9, atol=1e-10)
    assert float(run.value("loss")) == pytest.approx(loss, rel=1e-9)
    largest = max(np.abs(gradient).max() for gradient in model.grads.values())
    for name, gradient in model.grads.items():
        np.testing.assert_allclose(run.gradient(name), gradient, rtol=1e-8, atol=1e-10 * largest, err_msg=name)
    np.testing.assert_allclose(run.gradient("input"), dimages, rtol=1e-8, atol=1e-10 * largest)


def test_module_outputs_have_the_models_values():
    trace = miniature_trace()
    steps = dict(random_model().activations(trace.tensors["input"]))
    steps["avgpool"], steps["patch_embed.norm"] = steps.pop("pool"), steps.pop("patch_embed")
    for stage in range(2):
        steps[f"layers.{stage}.downsample.reduction"] = steps.pop(f"layers.{stage}.downsample")
    for name, value in steps.items():
        np.testing.assert_allclose(trace.tensors[name], value, rtol=1e-12, atol=1e-13, err_msg=name)


def test_a_given_tensor_takes_the_place_of_the_computed_one():
    trace = miniature_trace()
    graph, sources = trace.graph, {name: trace.tensors[name] for name in ("pixels", "labels", *trace.graph.parameters)}
    doubled = 2 * trace.tensors["layers.0.blocks.0.attn.scores"]
    run = Run(graph, sources | {"layers.0.blocks.0.attn.scores": doubled})
    assert np.array_equal(run.value("layers.0.blocks.0.attn.scores"), doubled)
    right = trace.tensors["layers.0.blocks.0.attn.scores"]
    assert np.array_equal(run.compute("layers.0.blocks.0.attn.scores"), right)
    bias = trace.tensors["layers.0.blocks.0.attn.relative_position_bias"]
    assert np.array_equal(run.value("layers.0.blocks.0.attn.biased_scores"), doubled + bias)


def test_each_gradient_is_a_central_difference_of_the_loss():
    """Along a random direction in each tensor, which is given in place of the computed one."""
    trace = miniature_trace()
    sources = {name: trace.tensors[name] for name in ("pixels", "labels", *trace.graph.parameters)}
    rng = np.random.default_rng(0)
    names = [name for name in trace.graph.backward_order() if name != "loss"]
    for name in names:
        value, step = trace.tensors[name], 1e-5
        direction = rng.standard_normal(value.shape)
        losses = []
        for sign in (1, -1):
            run = Run(trace.graph, sources | {name: value + sign * step * direction})
            losses.append(float(run.value("loss")))
        slope = (losses[0] - losses[1]) / (2 * step)
        assert slope == pytest.approx(float(np.vdot(trace.grads[name], direction)), rel=1e-5, abs=1e-8), name


def test_only_the_needed_tensors_are_computed():
    graph = miniature_trace().graph
    run = Run(graph, {"layers.0.blocks.1.attn.scores": miniature_trace().tensors["layers.0.blocks.1.attn.scores"]})
    with pytest.raises(KeyError):
        run.value("layers.0.blocks.1.attn.q")  # its sources are not given


def test_backward_order_starts_at_the_loss_and_has_every_gradient():
    trace = miniature_trace()
    order = trace.graph.backward_order()
    assert order[0] == "loss"
    assert order[1] == "head"
    assert set(trace.graph.parameters) < set(order)
    assert "layers.0.blocks.1.attn.mask" not in order
    assert "labels" not in order
    place = {name: number for number, name in enumerate(order)}
    for name in order:
        assert all(place[use] < place[name] for use in trace.graph.consumers[name] if use in place)


def test_a_circle_raises():
    with pytest.raises(ValueError, match="computed from itself"):
        Graph([Node("a", None, ("b",)), Node("b", None, ("a",))])


def test_names_are_those_of_the_manifest_and_gradients_are_prefixed():
    trace = miniature_trace()
    assert GRADIENT_PREFIX == "grad/"
    assert trace.normalization == SCALE
    assert "layers.0.blocks.1.attn.mask" in trace.tensors
    assert "layers.0.blocks.0.attn.mask" not in trace.tensors


def computed_or_none(run, name):
    """The computed tensor; None if the shapes of the given tensors do not fit a mistake, as with pad-after-shift."""
    try:
        return run.compute(name)
    except ValueError:
        return None


def are_equal(one, other):
    return (one is None and other is None) or np.array_equal(one, other, equal_nan=True)


@settings(deadline=None, max_examples=examples(60))
@given(st.data())
def test_a_run_of_a_changed_graph_reuses_what_does_not_differ(data):
    """For any mistake, and any given tensors."""
    key = miniature_trace()
    variants = [one for mistake in CATALOGUE for name in key.graph.nodes for one in mistake.plant(key.graph, name)]
    other = key.graph.replaced(data.draw(st.sampled_from(variants))[1])
    names = [*key.graph.computed, *(GRADIENT_PREFIX + name for name in key.grads)]
    dumped = data.draw(st.lists(st.sampled_from(names), unique=True)) if data.draw(st.booleans()) else names
    rng = np.random.default_rng(0)
    noise = {name: key[name] * (1 + 1e-3 * rng.standard_normal(key[name].shape)) for name in dumped}
    given = key.sources | noise
    first = Run(key.graph, given)
    with np.errstate(all="ignore"):
        for name in names:
            first.value(name)
        differ = differing(key.graph, other, given)
        reusing, fresh = first.with_graph(other, differ), Run(other, given)
        for name in names:
            if name.removeprefix(GRADIENT_PREFIX) in other.differentiable or not name.startswith(GRADIENT_PREFIX):
                expected = computed_or_none(fresh, name)
                assert are_equal(computed_or_none(reusing, name), expected), name
                if name not in differ:
                    assert are_equal(first.compute(name), expected), name


def test_nodes_are_sorted_by_their_inputs():
    """Each reads the two before it; they are given in reverse order."""
    add = Operation("add", lambda x, y: (x + y, None), lambda dy, _: (dy, dy))
    nodes = [Node("0", None), Node("1", None), *(Node(f"{n}", add, (f"{n - 1}", f"{n - 2}")) for n in range(2, 20))]
    assert list(Graph(nodes[::-1]).nodes)[2:] == [node.name for node in nodes[2:]]
