"""Backward passes that read a buffer into which a later place has written."""

import numpy as np
import pytest

from npswin.verify import diagnose
from npswin.verify.graph import Run
from npswin.verify.mistakes.mistake import change_node, with_backward
from tests.verify.keys import computed, miniature_trace

KEY = miniature_trace()
BLOCKS = "layers.0.blocks"


def test_the_input_of_a_linear_layer_is_that_of_the_next_block():
    node, run = KEY.graph.nodes[f"{BLOCKS}.0.mlp.fc2"], Run(KEY.graph, KEY.sources)
    other = KEY.graph.nodes[f"{BLOCKS}.1.mlp.fc2"].inputs[0]
    x = run.value(other)

    def backward(dy, cache):
        dx, _, *rest = node.operation.backward(dy, cache)
        return dx, dy.reshape(-1, dy.shape[-1]).T @ x.reshape(-1, x.shape[-1]).astype(dy.dtype), *rest

    cause = cause_of(change_node(node, with_backward(node.operation, backward)))
    assert cause.name == "overwritten"
    assert f"{other} in place of {node.inputs[0]}" in str(cause)


def test_the_statistics_of_a_norm_are_those_of_the_next_norm():
    node, run = KEY.graph.nodes[f"{BLOCKS}.1.norm1"], Run(KEY.graph, KEY.sources)
    other = KEY.graph.nodes[f"{BLOCKS}.1.norm2"].inputs[0]
    x, later = run.value(node.inputs[0]), run.value(other)

    def backward(dy, cache):
        rstd = 1 / np.sqrt(later.var(axis=-1, keepdims=True) + node.settings["eps"])
        stale = ((x - later.mean(axis=-1, keepdims=True)) * rstd, rstd, cache[2])
        return node.operation.backward(dy, tuple(part.astype(dy.dtype) for part in stale))

    cause = cause_of(change_node(node, with_backward(node.operation, backward)))
    assert cause.name == "overwritten"
    assert f"the mean and deviation of {other} in place of {node.inputs[0]}" in str(cause)


def test_each_norm_is_computed_again_from_the_output_of_its_block():
    changes, run = {}, Run(KEY.graph, KEY.sources)
    for name in ("layers.0.blocks.0", "layers.0.blocks.1", "layers.1.blocks.0"):
        node, output = KEY.graph.nodes[f"{name}.norm2"], run.value(name)

        def backward(dy, cache, node=node, output=output):
            parameters = (np.asarray(run.value(read)) for read in node.inputs[1:])
            _, other = node.operation.forward(output, *parameters, **node.settings)
            return node.operation.backward(dy, tuple(part.astype(dy.dtype) for part in other))

        changes |= change_node(node, with_backward(node.operation, backward))
    diagnosis = diagnose(KEY, computed(KEY.graph.replaced(changes), KEY.sources, "float32", seed=3))
    assert not diagnosis.unexplained, str(diagnosis)
    assert {cause.hypothesis.name for cause in diagnosis.causes} == {"overwritten"}
    assert "layers.1.blocks.0 in place of layers.1.blocks.0.residual" in str(diagnosis)


def cause_of(changes):
    diagnosis = diagnose(KEY, computed(KEY.graph.replaced(changes), KEY.sources, "float32", seed=3))
    assert not diagnosis.unexplained, str(diagnosis)
    assert len(diagnosis.causes) == 1, str(diagnosis)
    return diagnosis.causes[0].hypothesis


@pytest.mark.parametrize("name", ["mlp.fc2.weight", "norm1.weight"])
def test_noise_is_nothing_overwritten(name):
    tensors = computed(KEY.graph, KEY.sources, "float32", seed=3)
    name = f"grad/{BLOCKS}.0.{name}"
    noise = np.random.default_rng(0).standard_normal(tensors[name].shape) * np.abs(tensors[name]).mean()
    diagnosis = diagnose(KEY, tensors | {name: (tensors[name] + 0.1 * noise).astype(np.float32)})
    assert not [cause for cause in diagnosis.causes if cause.hypothesis.name == "overwritten"], str(diagnosis)
