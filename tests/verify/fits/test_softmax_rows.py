"""Probabilities that are another function of the scores are told by their words, and the function gives the numbers."""

import re
from functools import reduce

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npswin.verify.fits.probabilities import Probabilities, exponentials, shares
from npswin.verify.fits.softmax_rows import row_explanations
from npswin.verify.fits.words import Axis

SHAPE = (2, 4, 3, 16, 16)
AXES = [[Axis("B", 2)], [Axis("window", 4)], [Axis("head", 3)], [Axis("query", 16)], [Axis("key", 16)]]
SCORES = np.random.default_rng(0).standard_normal(SHAPE)
TOLERANCE = 1e-6
QUERY, KEY = np.indices((16, 16))


def hidden(pairs):
    return shares(np.where(pairs, 0, exponentials(SCORES)))


def over_sum(total):
    return exponentials(SCORES) / total(exponentials(SCORES))


def online(scores, size, rescale_sum, rescale_rest):
    """Tile after tile, as a kernel has it."""
    largest, total, parts = np.full((*SHAPE[:-1], 1), -np.inf), 0.0, []
    for start in range(0, 16, size):
        tile = scores[..., start : start + size]
        new = np.maximum(largest, tile.max(-1, keepdims=True))
        powers = np.exp(tile - new)
        factor = np.exp(largest - new)
        total = total * (factor if rescale_sum else 1) + powers.sum(-1, keepdims=True)
        parts = [part * (factor if rescale_rest else 1) for part in parts] + [powers]
        largest = new
    return np.concatenate(parts, -1) / total


def of_own_largest(scores, starts):
    """Exponentials minus the largest score of each part."""
    parts = np.split(scores, starts, axis=-1)
    return np.concatenate([np.exp(part - part.max(-1, keepdims=True)) for part in parts], -1)


def schraudolph(x):
    bits = (x * 2.0**23 / np.log(2) + 127 * 2.0**23 - 366393).astype(np.int32)
    return bits.view(np.float32).astype(np.float64)


def from_table(x):
    places = np.clip((x + 8) * 16, 0, 128)
    return np.exp(np.floor(places) / 16 - 8)


def before(sums):
    return np.pad(sums.reshape(8, -1)[:, :-1], ((0, 0), (1, 0)), mode="edge").reshape(sums.shape)


def sum_in_half(powers):
    return reduce(lambda total, one: (total + one).astype(np.float16), np.moveaxis(powers, -1, 0).astype(np.float16))


LARGEST = SCORES.max(-1, keepdims=True)
NOISE = np.random.default_rng(1).uniform(0.7, 1.3, (*SHAPE[:-1], 1))
CASES = {
    "left out: the last key; the other keys share all": hidden(KEY == 15),
    "left out: keys 12 to 15; the others keep": np.where(KEY > 11, 0, shares(exponentials(SCORES))),
    "left out: the query's own key": hidden(QUERY == KEY),
    "left out: keys after the query": hidden(KEY > QUERY),
    "left out: keys more than 2 places before or after the query": hidden(np.abs(QUERY - KEY) > 2),
    "left out: keys in another row": hidden(QUERY // 4 != KEY // 4),
    "left out: all but the 3 keys with the largest scores": hidden(np.sort(SCORES, -1)[..., [-3]] > SCORES),
    "left out: keys with a probability below 0.05": hidden(shares(exponentials(SCORES)) < 0.05),
    "the sum runs over the queries": over_sum(lambda e: e.sum(-2, keepdims=True)),
    "0.25 is added to the sum": over_sum(lambda e: e.sum(-1, keepdims=True) + 0.25),
    "the largest score is not subtracted, and 2 is added": np.exp(SCORES) / (np.exp(SCORES).sum(-1, keepdims=True) + 2),
    "the last key is not in the sum": over_sum(lambda e: e[..., :-1].sum(-1, keepdims=True)),
    "keys 0 to 3 are not in the sum": over_sum(lambda e: e[..., 4:].sum(-1, keepdims=True)),
    "the root of the sum of squares": over_sum(lambda e: np.sqrt((e * e).sum(-1, keepdims=True))),
    "the mean sum, whichever the head": over_sum(lambda e: e.sum(-1, keepdims=True).mean(2, keepdims=True)),
    "sum up to": over_sum(lambda e: e.sum(-1, keepdims=True) * NOISE),
    "the sum of exp(score - largest score): each is the one before it in the memory of (heads, queries)":
        over_sum(lambda e: before(e.sum(-1))[..., None]),
    "the logarithm of the sum of exponentials: head 0 in place of all heads":
        np.exp(SCORES - np.log(np.exp(SCORES[:, :, :1]).sum(-1, keepdims=True))),
    "the largest score, in the sum alone: the heads are rolled by 1":
        exponentials(SCORES) / np.exp(SCORES - np.roll(LARGEST, 1, 2)).sum(-1, keepdims=True),
    "the largest score, not in the sum: the heads are rolled by 1":
        np.exp(SCORES - np.roll(LARGEST, 1, 2)) / exponentials(SCORES).sum(-1, keepdims=True),
    "the sum of exp(score - largest score) of each query is a number of float16, up to":
        over_sum(lambda e: sum_in_half(e)[..., None].astype(np.float64)),
    "the probabilities are cut off to multiples of 1/256": np.floor(shares(exponentials(SCORES)) * 256) / 256,
    "the probabilities are rounded to multiples of 1/255, and divided by their sum":
        shares(np.rint(shares(exponentials(SCORES)) * 255)),
    "the exponentials are rounded to multiples of 1/128": shares(np.rint(exponentials(SCORES) * 128)),
    "0.01 is added to each exponential": shares(exponentials(SCORES) + 0.01),
    "all numbers are multiplied by 0.7": shares(np.exp(0.7 * SCORES)),
    "all numbers are multiplied by -1": shares(np.exp(-SCORES)),
    "each head is multiplied by 0.5, 1.5, 2": shares(np.exp(SCORES * np.reshape([0.5, 1.5, 2], (3, 1, 1)))),
    "all heads are their mean": shares(np.exp(np.repeat(SCORES.mean(2, keepdims=True), 3, 2))),
    "capped, 3 tanh(x / 3)": shares(np.exp(3 * np.tanh(SCORES / 3))),
    "it is limited above at 0.5": shares(np.exp(np.minimum(SCORES, 0.5))),
    "Taylor's series up to degree 2 in place of exp, of the scores": shares(1 + SCORES + SCORES**2 / 2),
    "(1 + x/64)^64 in place of exp": shares((1 + (SCORES - SCORES.max(-1, keepdims=True)) / 64) ** 64),
    "softplus is applied in place of exp": shares(np.logaddexp(0, SCORES)),
    "Schraudolph's exponential": shares(schraudolph(SCORES - SCORES.max(-1, keepdims=True))),
    "exp is read from a table with steps of 0.0625, the entry below": shares(
        from_table(SCORES - SCORES.max(-1, keepdims=True))
    ),
    "in tiles of 4 keys: what was computed before is not rescaled": online(SCORES, 4, False, False),
    "in tiles of 8 keys: exponentials are not rescaled": online(SCORES, 8, True, False),
    "in tiles of 4 keys: the sum is not rescaled": online(SCORES, 4, False, True),
    "in tiles of 5 and 6 keys, each minus its own largest score, with one sum": shares(of_own_largest(SCORES, [5, 10])),
    "online softmax in tiles of 6 and 4 keys: what was computed before is not": online(SCORES, 6, False, False),
    "each tile of 8 keys has a softmax of its own": np.concatenate(
        [shares(np.exp(SCORES[..., :8])), shares(np.exp(SCORES[..., 8:]))], -1
    ),
}  # fmt: skip


def explanations_of(found, scores=SCORES):
    found = found.astype(np.float32).astype(np.float64)
    return list(row_explanations(Probabilities(found, scores, AXES, TOLERANCE)))


@pytest.mark.parametrize("words", CASES)
def test_words_and_numbers(words):
    found = explanations_of(CASES[words])
    assert words in found[0].words, [one.words for one in found]
    np.testing.assert_allclose(found[0].rows(SCORES), CASES[words], atol=5 * TOLERANCE)


MOVED = [words for words in CASES if "before it" in words or "heads are rolled" in words or "head 0 in" in words]


@pytest.mark.parametrize("words", MOVED)
def test_the_derivative_of_steps_of_other_queries(words):
    one = next(one for one in explanations_of(CASES[words]) if words in one.words)
    dy, direction = np.random.default_rng(0).standard_normal((2, *SHAPE))
    step = 1e-6 * direction
    slope = np.vdot(dy, one.rows(SCORES + step) - one.rows(SCORES - step)) / 2e-6
    assert np.vdot(one.derivative(dy, SCORES), direction) == pytest.approx(slope, rel=1e-5)


@settings(max_examples=20)
@given(st.integers(1, 6), st.integers(2, 12), st.floats(0.05, 3).filter(lambda c: abs(c - 1) > 0.01))
def test_a_term_of_the_sum_and_a_factor_are_found_whatever_they_are(missing, tokens, factor):
    scores = np.random.default_rng(tokens).standard_normal((2, 3, 2, tokens, tokens))
    axes = [[Axis(name, size)] for name, size in zip("abcde", scores.shape, strict=True)]

    def first(found):
        found = found.astype(np.float32).astype(np.float64)
        return next(row_explanations(Probabilities(found, scores, axes, TOLERANCE))).words

    told = re.search(r"multiplied by (\S+)", first(shares(np.exp(factor * scores))))
    assert told
    value = {"1/2": 0.5, "√2": 2**0.5, "1/√2": 0.5**0.5}.get(told[1]) or float(told[1])
    assert value == pytest.approx(factor, rel=1e-3)
    powers = exponentials(scores)
    assert f"{missing:.4g} is added to the sum" in first(powers / (powers.sum(-1, keepdims=True) + missing))


def test_right_and_unrelated_probabilities_are_not_explained():
    assert not explanations_of(shares(exponentials(SCORES)))
    noise = np.random.default_rng(1).uniform(size=SHAPE)
    assert not explanations_of(shares(noise))
    assert not explanations_of(np.where(SCORES > 2, np.nan, SCORES))


def test_masked_scores_do_not_hide_a_factor():
    scores = SCORES + np.where((KEY // 8) == (QUERY // 8), 0, -100.0)
    found = explanations_of(shares(np.exp(0.7 * (scores - scores.max(-1, keepdims=True)))), scores)
    assert "all numbers are multiplied by 0.7" in found[0].words
