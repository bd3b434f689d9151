"""Tokens of the padding that are masked, wherever that is added to the scores, or that are not zeros."""

from functools import lru_cache

import numpy as np
import pytest

from npswin.verify import diagnose
from npswin.verify.fits.explanation import plus, replaced_where
from npswin.verify.mistakes.mistake import change_node, transform_input, transform_output
from tests.verify.keys import computed, odd_trace

KEY = odd_trace()
NODES = KEY.graph.nodes
BLOCKS = [name.removesuffix(".attn.padded") for name in NODES if name.endswith(".attn.padded")]


@lru_cache
def padding_of(block):
    """Which tokens of a block's windows are zeros in all channels, of all images: (nW, N)."""
    windows = computed(KEY.graph, KEY.sources)[f"{block}.attn.windows"]
    return (windows == 0).all(axis=(0, -1))


def diagnosis_of(changes):
    return diagnose(KEY, computed(KEY.graph.replaced(changes), KEY.sources, "float32", seed=0))


def masked(block, part, pairs, number):
    node, padded = NODES[f"{block}.attn.{part}"], padding_of(block)
    added = plus(np.where(pairs(padded[:, :, None], padded[:, None]), number, 0.0)[:, None])
    if part == "probabilities":
        return change_node(node, transform_input(node.operation, 0, added))
    return change_node(node, transform_output(node.operation, added))


def keys(queries, keys):
    return keys | np.zeros_like(queries)


@pytest.mark.parametrize(
    ("of_shifted", "of_others", "pairs", "number", "words"),
    [
        ("biased_scores", "biased_scores", keys, -100.0, "as keys: -100 is added to their scores"),
        ("masked_scores", "probabilities", keys, -100.0, "as keys: -100 is added to their scores"),
        ("masked_scores", "biased_scores", np.bitwise_or, -1e9, "as keys and as queries: -1e+09 is added"),
        ("probabilities", "probabilities", np.bitwise_xor, -100.0, "as a region of their own, from all others: -100"),
    ],
)
def test_masked_tokens_are_one_cause_in_shifted_and_other_blocks(of_shifted, of_others, pairs, number, words):
    changes = {}
    for block in BLOCKS:
        part = of_shifted if f"{block}.attn.shifted" in NODES else of_others
        changes |= masked(block, part, pairs, number)
    diagnosis = diagnosis_of(changes)
    (cause,) = diagnosis.causes
    assert len(cause.places) > len(BLOCKS) - 2  # the mask of a shifted block may have the padding as a region already
    assert set(cause.places) <= set(changes)
    assert f"the tokens of the padding are masked ({words}" in str(cause.hypothesis)
    assert not diagnosis.unexplained


def test_scores_that_are_set_and_not_added_to():
    changes = {}
    for block in BLOCKS:
        node, padded = NODES[f"{block}.attn.biased_scores"], padding_of(block)
        masked = np.broadcast_to(padded[:, None, None, :], (len(padded), 1, padded.shape[1], padded.shape[1]))
        set_to = replaced_where(masked, np.array(-100.0))
        changes |= change_node(node, transform_output(node.operation, set_to))
    diagnosis = diagnosis_of(changes)
    assert [sorted(cause.places) for cause in diagnosis.causes] == [sorted(changes)], str(diagnosis)
    assert "as keys: their scores are set to -100" in str(diagnosis.causes[0].hypothesis)
    assert not diagnosis.unexplained
