"""Backward passes of the softmax that subtract the sum of p dp over some tiles of keys."""

import numpy as np
import pytest

from npswin.verify import diagnose
from npswin.verify.graph.operations import SOFTMAX
from npswin.verify.mistakes.mistake import change_node, with_backward
from npswin.verify.mistakes.tiled_sums import _sums
from tests.verify.keys import computed, miniature_trace, right

KEY = miniature_trace()
PLACES = [name for name, node in KEY.graph.nodes.items() if node.operation is SOFTMAX]


def tiles_of(products, size):
    """(..., keys) -> (..., tiles), the sum of each tile."""
    return np.add.reduceat(products, range(0, products.shape[-1], size), -1)


def so_far(products, size):
    return np.repeat(tiles_of(products, size).cumsum(-1), size, -1)[..., : products.shape[-1]]


def alone(products, size):
    return np.repeat(tiles_of(products, size), size, -1)[..., : products.shape[-1]]


def but_own(products, size):
    return products.sum(-1, keepdims=True) - alone(products, size)


def last(products, size):
    return tiles_of(products, size)[..., -1:]


def with_tiles(places, sums, size):
    changes = {}
    for name in places:
        operation = KEY.graph.nodes[name].operation
        backward = with_backward(operation, lambda dp, p: (p * (dp - sums(p * dp, size).astype(dp.dtype)),))
        changes |= change_node(KEY.graph.nodes[name], backward)
    return changes


@pytest.mark.parametrize(
    ("sums", "size", "words"),
    [
        (so_far, 2, "of the tiles up to and including the key's own, of 2 keys each"),
        (so_far, 1, "of the tiles up to and including the key's own, of one key each"),
        (alone, 3, "of the key's own tile alone, of 3 keys each"),
        (but_own, 2, "of all tiles but the key's own, of 2 keys each"),
        (last, 4, "of the last tile alone, of 4 keys each"),
        (so_far, 4, "of the tiles up to and including the key's own, of 4 keys each"),
        (last, 2, "of the last tile alone, of 2 keys each"),
    ],
)
def test_some_tiles_of_keys(sums, size, words):
    places = PLACES if size < 4 else PLACES[1:2]
    diagnosis = diagnose(KEY, computed(KEY.graph.replaced(with_tiles(places, sums, size)), KEY.sources, "float32", 11))
    assert len(diagnosis.causes) == 1, str(diagnosis)
    assert not diagnosis.unexplained
    where = f"; in all of {len(places)} places" if len(places) > 1 else ""
    assert diagnosis.causes[0].hypothesis.detail == words + where


def test_which_keys_are_summed():
    sums = {(words, size): summed for words, size, summed in _sums(5)}
    assert not any(summed.all() or not summed.any() for summed in sums.values())
    so_far = sums["of the tiles up to and including the key's own", 2]
    np.testing.assert_array_equal(so_far.sum(axis=1), [2, 2, 4, 4, 5])


def test_noise_is_no_sum_of_tiles():
    tensors, name = right("float32", 11), "grad/layers.0.blocks.0.attn.biased_scores"
    noise = 1 + 0.1 * np.random.default_rng(0).standard_normal(tensors[name].shape)
    diagnosis = diagnose(KEY, tensors | {name: (tensors[name] * noise).astype(np.float32)})
    assert not [one for one in diagnosis.causes if one.hypothesis.name == "tiled-sum"], str(diagnosis)
