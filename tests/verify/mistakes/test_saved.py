"""Backward passes that read what was kept for them of other rows, or in another memory order."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import logsumexp

from npswin.ops.layer_norm import layer_norm_backward
from npswin.verify import diagnose
from npswin.verify.graph.precision import rounded
from npswin.verify.mistakes.mistake import change_node, is_output_of, with_backward
from tests.verify.keys import computed, miniature_trace

KEY = miniature_trace()
BLOCK, LAST = "layers.1.blocks.0", "layers.2.blocks.0"  # of two heads, and of four


def with_cache(node, cache_of, backward=None):
    operation = node.operation

    def forward(*inputs, **settings):
        return operation.forward(*inputs, **settings)[0], cache_of(*inputs)

    changed = replace(operation, forward=forward, backward=backward or operation.backward)
    return change_node(node, changed)


def read_otherwise(rows):
    """(windows, heads, N) read as (windows, N, heads)."""
    batch, windows, heads, tokens = rows.shape
    return rows.reshape(-1, tokens, heads).swapaxes(1, 2).reshape(batch, windows, heads, tokens)


def softmax_with_sums_read_otherwise():
    def cache_of(scores):
        right = logsumexp(scores, -1)
        return np.exp(scores - right[..., None]), np.exp(scores - read_otherwise(right)[..., None])

    def backward(dp, cache):
        p, other = cache
        return (other * (dp - (p * dp).sum(-1, keepdims=True)),)

    return with_cache(KEY.graph.nodes[f"{BLOCK}.attn.probabilities"], cache_of, backward)


def softmax_with_the_sum_of_the_next_head():
    operation = KEY.graph.nodes[f"{LAST}.attn.probabilities"].operation

    def backward(dp, p):
        return (p * (dp - np.roll((p * dp).sum(-1, keepdims=True), -1, 2)),)

    return change_node(KEY.graph.nodes[f"{LAST}.attn.probabilities"], with_backward(operation, backward))


def norm_with_the_deviation_of_the_previous_token():
    def cache_of(x, weight, bias):
        rstd = np.roll(1 / np.sqrt(x.var(-1, keepdims=True) + 1e-5), 1, axis=2)
        return (x - x.mean(-1, keepdims=True)) * rstd, rstd, weight

    return with_cache(KEY.graph.nodes[f"{BLOCK}.norm2"], cache_of, layer_norm_backward)


def values_by_the_next_window():
    def cache_of(p, v):
        return np.roll(p.reshape(-1, *p.shape[2:]), -1, 0).reshape(p.shape), v

    return with_cache(KEY.graph.nodes[f"{BLOCK}.attn.context"], cache_of)


def softmax_with_rows(rows):
    """The derivative of every softmax with exp(scores - L), L a number for each row of the scores."""
    changes = {}
    for node in KEY.graph.nodes.values():
        if is_output_of(node, "softmax"):
            changes |= with_cache(node, lambda scores: np.exp(scores - rows(scores)[..., None]))
    return changes


def softmax_with_a_short_log_sum():
    return softmax_with_rows(lambda scores: logsumexp(scores, -1).astype(np.float16).astype(scores.dtype))


def softmax_with_a_short_maximum():
    def rows(scores):
        largest = scores.max(-1)
        return logsumexp(scores, -1) - largest + rounded(largest.astype(np.float32), "bfloat16")

    return softmax_with_rows(rows)


def softmax_with_a_short_sum_of_exponentials():
    def rows(scores):
        total = np.exp(logsumexp(scores, -1) - scores.max(-1))
        return scores.max(-1) + np.log(total.astype(np.float16).astype(scores.dtype))

    return softmax_with_rows(rows)


def softmax_with_a_short_sum_of_products():
    node = KEY.graph.nodes[f"{LAST}.attn.probabilities"]

    def backward(dp, p):
        return (p * (dp - (p * dp).sum(-1, keepdims=True).astype(np.float16).astype(dp.dtype)),)

    return change_node(node, with_backward(node.operation, backward))


PLANTED = {
    "L, the log-sum-exp, is kept in float16": softmax_with_a_short_log_sum,
    "the maximum in L is kept in bfloat16": softmax_with_a_short_maximum,
    "the sum of exponentials in L is kept in float16": softmax_with_a_short_sum_of_exponentials,
    "than that of the row (kept in float16": softmax_with_a_short_sum_of_products,
    "memory of (windows, heads, query) read as (windows, query, heads)": softmax_with_sums_read_otherwise,
    "heads each in the place of the one before": softmax_with_the_sum_of_the_next_head,
    "deviation: columns each in the place of the next": norm_with_the_deviation_of_the_previous_token,
    "windows of the whole batch each in the place of the one before": values_by_the_next_window,
}


@pytest.mark.parametrize("words", PLANTED)
def test_what_was_kept(words):
    diagnosis = diagnose(KEY, computed(KEY.graph.replaced(PLANTED[words]()), KEY.sources, "float32", seed=6))
    assert len(diagnosis.causes) == 1, str(diagnosis)
    assert not diagnosis.unexplained
    assert words in str(diagnosis)


def test_a_mistake_found_in_one_block_is_tried_first_in_the_next():
    changes = {}
    for node in KEY.graph.nodes.values():
        if node.operation is not None and node.operation.name == "softmax":
            operation = node.operation
            changes |= change_node(
                node,
                with_backward(
                    operation, lambda dp, p: (p * (dp - np.roll((p * dp).sum(-1, keepdims=True), 1, axis=-2)),)
                ),
            )
    diagnosis = diagnose(KEY, computed(KEY.graph.replaced(changes), KEY.sources, "float32", seed=6))
    assert len(diagnosis.causes) == 1, str(diagnosis)
    assert len(diagnosis.causes[0].places) == len(changes)


@pytest.mark.parametrize("name", [f"{BLOCK}.attn.biased_scores", f"{BLOCK}.residual"])
def test_noise_is_of_no_other_row(name):
    tensors = computed(KEY.graph, KEY.sources, "float32", seed=6)
    noise = 0.1 * np.random.default_rng(0).standard_normal(tensors[f"grad/{name}"].shape)
    noisy = tensors[f"grad/{name}"] + noise * np.abs(tensors[f"grad/{name}"]).mean()
    diagnosis = diagnose(KEY, tensors | {f"grad/{name}": noisy.astype(np.float32)})
    assert not diagnosis.causes, str(diagnosis)


def test_an_inexact_exponential_is_no_log_sum_in_fewer_bits():
    noise = np.random.default_rng(0).standard_normal(256)

    def rows(scores):
        return logsumexp(scores, -1) * (1 + 3e-4 * np.resize(noise, scores.shape[:-1]))

    tensors = computed(KEY.graph.replaced(softmax_with_rows(rows)), KEY.sources, "float32", seed=6)
    diagnosis = diagnose(KEY, tensors)
    assert not [one for one in diagnosis.causes if "kept in" in str(one)], str(diagnosis)
