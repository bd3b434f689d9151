"""Gradients of parameters that are sums over a part of the images, windows or tokens."""

import numpy as np
import pytest

from npswin.verify import diagnose
from npswin.verify.mistakes.mistake import change_node, with_backward
from tests.thorough import some
from tests.verify.keys import computed, miniature_trace

KEY = miniature_trace()
BLOCK = "layers.0.blocks.0"


def kept_of(what, dy):
    """Which entries of dy, (B, nW, N, C) or (B, H, W, C), are summed."""
    axis = {"image": 0, "window": 1, "row": 1, "token": 2}[what.split()[-1]]
    index = np.arange(dy.shape[axis]).reshape([-1 if place == axis else 1 for place in range(dy.ndim)])
    return index == 0 if what.startswith("first") else index < dy.shape[axis] - 1


def planted(node, index, what):
    operation = node.operation

    def backward(dy, cache):
        derivatives = list(operation.backward(dy, cache))
        derivatives[index] = operation.backward(dy * kept_of(what, dy), cache)[index]
        return tuple(derivatives)

    return change_node(node, with_backward(operation, backward))


CASES = {
    "image": ("qkv", 1, "first image", "over the first image alone"),
    "bias": ("mlp.fc1", 2, "first image", "over the first image alone"),
    "row": ("mlp.fc1", 1, "all but the last row", "over all rows but the last"),
    "window": ("attn.qkv", 1, "first window", "over the first window alone"),
}


@pytest.mark.parametrize("case", some(list(CASES), {"bias", "row"}))
def test_a_part_of_a_sum(case):
    last, index, what, words = CASES[case]
    changes = {}
    for name, node in KEY.graph.nodes.items():
        if name.startswith("layers.0") and name.endswith(last) and node.operation:
            changes |= planted(node, index, what)
    diagnosis = diagnose(KEY, computed(KEY.graph.replaced(changes), KEY.sources, "float32", seed=4))
    assert not diagnosis.unexplained, str(diagnosis)
    assert len(diagnosis.causes) == 1, str(diagnosis)
    assert words in str(diagnosis.causes[0].hypothesis)


def first_tiles(tile):
    return lambda size: np.arange(size) < size // tile * tile


def last_tile(tile):
    return lambda size: np.arange(size) >= (size - 1) // tile * tile


# By name: nodes, the index of the parameter, the axes that are summed as one, which of them, and words of the cause.
TILES = {
    "weight": (
        "mlp.fc2",
        1,
        slice(0, -1),
        first_tiles(32),
        "the first 64 of 70 tokens, as in tiles of 8 or",
    ),
    "bias": ("mlp.fc1", 2, slice(0, -1), first_tiles(16), "the first 64 of 70 tokens"),
    "gain": ("norm2", 1, slice(0, -1), last_tile(16), "the last 6 of 70 tokens, as in tiles of 8 or"),
    "values": ("attn.context", 1, slice(3, 4), last_tile(2), "over the last"),
}


@pytest.mark.parametrize("case", some(list(TILES), {"weight", "gain", "values"}))
def test_tiles_of_a_sum(case):
    last, index, axes, choice, words = TILES[case]
    changes = {}
    for name, node in KEY.graph.nodes.items():
        if name.startswith("layers.0") and name.endswith(last) and node.operation:
            changes |= with_summed(node, index, axes, choice)
    diagnosis = diagnose(KEY, computed(KEY.graph.replaced(changes), KEY.sources, "float32", seed=4))
    assert not diagnosis.unexplained, str(diagnosis)
    assert len(diagnosis.causes) == 1, str(diagnosis)
    assert words in str(diagnosis.causes[0].hypothesis)


def with_summed(node, index, axes, choice):
    operation = node.operation

    def backward(dy, cache):
        kept = choice(int(np.prod(dy.shape[axes]))).reshape(dy.shape[axes])
        kept = kept.reshape(*kept.shape, *[1] * (dy.ndim - len(range(dy.ndim)[axes]) - (axes.start or 0)))
        derivatives = list(operation.backward(dy, cache))
        derivatives[index] = operation.backward((dy * kept).astype(dy.dtype), cache)[index]
        return tuple(derivatives)

    return change_node(node, with_backward(operation, backward))


def test_noise_is_no_sum_over_some_tokens():
    tensors = computed(KEY.graph, KEY.sources, "float32", seed=4)
    name = "grad/layers.0.blocks.0.norm2.weight"
    noise = np.random.default_rng(0).standard_normal(tensors[name].shape) * np.abs(tensors[name]).mean()
    diagnosis = diagnose(KEY, tensors | {name: (tensors[name] + 0.1 * noise).astype(np.float32)})
    assert not [cause for cause in diagnosis.causes if cause.hypothesis.name == "summed-part"], str(diagnosis)
