"""Numbers that are added for all images, tokens that skip a branch, windows that take the one before's values."""

import numpy as np
import pytest

from npswin.verify import diagnose
from npswin.verify.fits.explanation import plus, replaced_by, times
from npswin.verify.graph import Arithmetic, Run
from npswin.verify.mistakes.mistake import change_node, gather, transform_input
from npswin.verify.mistakes.weighted_pool import fit_pool
from tests.verify.keys import odd_trace

KEY = odd_trace()
GRAPH = KEY.graph
HEAD = GRAPH.nodes["head"]
BACKWARD = ("head", "avgpool", "head.weight", "head.bias")
FIRST = "layers.0.blocks.0"
SUM = f"{FIRST}.residual"
CONTEXT, VALUES = f"{FIRST}.attn.context", f"{FIRST}.attn.v"


def port(changes, backward=()):
    """The activations of a port, in float32, with some nodes of the key's graph changed, and some gradients."""
    run = Run(GRAPH.replaced(changes), KEY.sources, Arithmetic("float32", 1000))
    return {name: run.value(name) for name in GRAPH.computed} | {
        f"grad/{name}": run.gradient(name) for name in backward
    }


def with_input(name, read, pair):
    node = GRAPH.nodes[name]
    return change_node(node, transform_input(node.operation, node.inputs.index(read), pair))


def numbers_like(name, *shape):
    return np.random.default_rng(0).standard_normal((*shape, *Run(GRAPH, KEY.sources).value(name).shape[len(shape) :]))


def added(numbers):
    read = GRAPH.nodes[SUM].inputs[0]
    return {k: v for user in GRAPH.consumers[read] for k, v in with_input(user, read, plus(numbers)).items()}


def only_cause(changes, backward=()):
    diagnosis = diagnose(KEY, port(changes, backward))
    assert not diagnosis.unexplained, str(diagnosis)
    (cause,) = diagnosis.causes
    return str(cause.hypothesis)


def test_numbers_that_all_readers_of_a_tensor_get_are_told():
    read = GRAPH.nodes[SUM].inputs[0]
    said = only_cause(added(numbers_like(read, 1)))
    assert f"in place of {read}, as all that read it do: {read} plus the same numbers for all images" in said


def test_numbers_that_differ_by_image_are_not_told_as_the_same():
    changes = added(numbers_like(GRAPH.nodes[SUM].inputs[0]))
    assert "the same numbers" not in str(diagnose(KEY, port(changes)))


def test_tokens_that_skip_a_branch_are_told():
    branch = GRAPH.nodes[SUM].inputs[1]
    kept = np.random.default_rng(0).random((*Run(GRAPH, KEY.sources).value(branch).shape[:3], 1)) >= 0.3
    said = only_cause(with_input(SUM, branch, times(kept / 0.7)))
    assert "drop path is left on (for each token by itself: " in said
    assert "of the tokens skip the branch; the others' is multiplied by 1.429" in said


def test_tokens_at_the_end_that_skip_a_branch_were_not_drawn():
    """As where a loop in groups of some tokens leaves out the last ones."""
    branch = GRAPH.nodes[SUM].inputs[1]
    kept = np.ones((*Run(GRAPH, KEY.sources).value(branch).shape[:3], 1))
    kept.reshape(-1)[-13:] = 0
    said = only_cause(with_input(SUM, branch, times(kept)))
    assert f"{branch}: the last 13 of the" in said
    assert "are 0" in said


@pytest.mark.parametrize("first", [True, False])
def test_windows_that_take_the_values_of_the_one_before_are_told(first):
    def moved(x):
        windows = x.reshape(-1, *x.shape[2:])
        return (np.concatenate([windows[:1], windows[:-1]]) if first else np.roll(windows, 1, 0)).reshape(x.shape)

    said = only_cause(with_input(CONTEXT, VALUES, gather(moved)))
    moves = "window of the batch w is window of the batch w - 1, at least 0", "the windows of the batch are rolled by 1"
    assert f"{VALUES}: {moves[0] if first else moves[1]}" in said


def of_head(weight, bias):
    operation = transform_input(HEAD.operation, 1, replaced_by(weight))
    return change_node(HEAD, transform_input(operation, 2, replaced_by(bias)))


def test_a_head_that_was_not_loaded_is_told():
    weight = 0.02 * np.random.default_rng(0).standard_normal(KEY.sources["head.weight"].shape)
    said = only_cause(of_head(weight, np.zeros(len(weight))), BACKWARD)
    assert "in no relation to the key's, and a bias of zero, as weights that were not loaded" in said


def test_a_head_of_other_numbers_and_another_bias_is_not_told_as_not_loaded():
    weight = 0.02 * np.random.default_rng(0).standard_normal(KEY.sources["head.weight"].shape)
    diagnosis = diagnose(KEY, port(of_head(weight, np.random.default_rng(0).standard_normal(len(weight))), BACKWARD))
    assert "not loaded" not in str(diagnosis)


def test_dropout_before_the_head_is_told():
    scale = 2.0 * (np.random.default_rng(0).random(Run(GRAPH, KEY.sources).value("avgpool").shape) >= 0.5)
    said = only_cause(with_input("head", "avgpool", times(scale)), BACKWARD)
    assert "dropout is left on before the layer (avgpool: " in said
    assert "the others are multiplied by 2, a rate of 0.5" in said


def test_pixels_with_a_sign_are_told():
    said = only_cause(with_input("input", "pixels", (lambda x: (np.where(x > 127, x - 256.0, x), None), None)))
    assert said == "pixels are numbers of 8 bits with a sign (those above 127 become negative)"


def test_a_pool_that_loses_tokens_is_told_by_its_gradient():
    """Of one image, whose channels are fewer than the tokens would need, the sum tells no weights."""
    pool, x = GRAPH.nodes["avgpool"], Run(GRAPH, KEY.sources).value("norm")
    count = x.shape[1] * x.shape[2]
    weights = np.where(np.random.default_rng(0).random((*x.shape[1:3], 1)) < 0.7, 1.0, 0.0)
    changes = change_node(pool, transform_input(pool.operation, 0, times(weights)))
    tensors = port(changes, ("avgpool", "norm"))
    run = Run(GRAPH, {**KEY.sources, **tensors})
    (fit,) = fit_pool(run, "avgpool", tensors["avgpool"], 1e-6)
    assert fit.detail.startswith(f"the sum, times {1 / count:.5g}, of the tokens at ")
    assert fit.fitted == 0
    assert np.allclose(run.replaced(fit.changes).compute("avgpool"), tensors["avgpool"], atol=1e-5)
