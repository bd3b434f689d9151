"""Gradients in buffers that were not cleared, or that are read or written with the strides of another array."""

import numpy as np
import pytest

from npswin.verify import diagnose
from npswin.verify.graph import Run
from npswin.verify.mistakes.mistake import change_node, with_backward
from tests.verify.keys import computed, miniature_trace, odd_trace

KEY = miniature_trace()
CROPPED = [node for node in odd_trace().graph.nodes.values() if node.operation and node.operation.name == "crop"]
PADDED = [node for node in odd_trace().graph.nodes.values() if node.operation and node.operation.name == "pad"]


def with_derivatives(nodes, derivative):
    """The only derivative of each node, from dy, its cache and the node."""
    changes = {}
    for node in nodes:

        def backward(dy, cache, node=node):
            return (derivative(dy, cache, node),)

        changes |= change_node(node, with_backward(node.operation, backward))
    return changes


def cause_of(key, changes):
    diagnosis = diagnose(key, computed(key.graph.replaced(changes), key.sources, "float32", seed=7))
    assert len(diagnosis.causes) == 1, str(diagnosis)
    assert not diagnosis.unexplained
    return diagnosis.causes[0].hypothesis


def test_a_buffer_still_has_the_gradient_of_the_next_block():
    name, other = "layers.0.blocks.0", "layers.0.blocks.1"
    node, stale = KEY.graph.nodes[name], Run(KEY.graph, KEY.sources).gradient(other)

    def backward(dy, cache):
        dx, dbranch = node.operation.backward(dy, cache)
        return dx + stale.astype(dx.dtype), dbranch

    cause = cause_of(KEY, change_node(node, with_backward(node.operation, backward)))
    assert f"grad/{other} is added to grad/{name}.residual" in str(cause)


def uncleared(dy, shape, node):
    dx = np.random.default_rng(0).standard_normal(shape).astype(dy.dtype) * dy.std()
    height, width = node.settings["size"]
    dx[:, :height, :width] = dy
    return dx


def test_padding_that_is_not_cleared():
    cause = cause_of(odd_trace(), with_derivatives(CROPPED, uncleared))
    assert cause.name == "buffer"
    assert "it has other numbers, up to" in str(cause)
    assert "(memory that was not cleared?): the padding in grad/" in str(cause)
    assert f"likewise in all of {len(CROPPED)} places" in str(cause)


def filled(mode, **values):
    def derivative(dy, shape, _):
        widths = [(0, large - small) for large, small in zip(shape, dy.shape, strict=True)]
        return np.pad(dy, widths, mode=mode, **values)

    return derivative


def with_the_mean(dy, shape, node):
    dx = filled("constant")(dy, shape, node)
    height, width = node.settings["size"]
    dx[:, height:] = dx[:, :, width:] = dy.mean(axis=(1, 2), keepdims=True)
    return dx


@pytest.mark.parametrize(
    ("derivative", "words"),
    [
        (filled("edge"), "the edge is repeated"),
        (filled("reflect"), "it is mirrored"),
        (filled("symmetric"), "it is mirrored, the edge too"),
        (filled("wrap"), "the map begins again"),
        (with_the_mean, "it is the map's mean of each channel"),
        (filled("constant", constant_values=0.25), "it is one number, 0.25"),
    ],
)
def test_padding_that_a_rule_fills(derivative, words):
    cause = str(cause_of(odd_trace(), with_derivatives(CROPPED, derivative)))
    assert f"the gradient of a map's padding is not 0 ({words}: the padding in grad/" in cause
    assert f"likewise in all of {len(CROPPED)} places" in cause


def test_one_map_whose_padding_repeats_its_edge():
    cause = str(cause_of(odd_trace(), with_derivatives(CROPPED[:1], filled("edge"))))
    assert f"the edge is repeated: the padding in grad/{CROPPED[0].inputs[0]}" in cause
    assert "likewise" not in cause


def written_without_padding(dy, shape, _):
    dx = np.zeros(int(np.prod(shape)), dy.dtype)
    dx[: dy.size] = dy.reshape(-1)
    return dx.reshape(shape)


def read_without_padding(dy, size, _):
    shape = (len(dy), *size, dy.shape[-1])
    return dy.reshape(-1)[: int(np.prod(shape))].reshape(shape)


@pytest.mark.parametrize(
    ("nodes", "derivative", "verb"),
    [(CROPPED, written_without_padding, "written"), (PADDED, read_without_padding, "read")],
)
def test_strides_of_the_map_without_padding(nodes, derivative, verb):
    cause = cause_of(odd_trace(), with_derivatives(nodes[:1], derivative))
    assert f"the padded gradient is {verb} with the strides" in str(cause)
    assert "of the map without padding from number 0 on" in str(cause)


@pytest.mark.parametrize("place", ["inside", "everywhere"])
def test_noise_beside_the_padding_is_no_buffer(place):
    def noisy(dy, shape, node):
        dx = uncleared(dy, shape, node)
        return dx + np.abs(dy).mean() * (1.0 if place == "inside" else dx)

    key = odd_trace()
    tensors = computed(key.graph.replaced(with_derivatives(CROPPED[:1], noisy)), key.sources, "float32", seed=7)
    diagnosis = diagnose(key, tensors)
    assert not [one for one in diagnosis.causes if one.hypothesis.name == "buffer"], str(diagnosis)
