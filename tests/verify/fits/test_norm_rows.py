"""Norms with other statistics are told by their words, and the statistics give the numbers."""

import numpy as np
import pytest

from npswin.verify.fits.norm_rows import NormedTokens, norm_explanations, variance_of

CHANNELS, EPS = 12, 1e-5
RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, CHANNELS)) * RNG.uniform(0.5, 1.2, (60, 1)) + RNG.standard_normal((60, 1))
MEAN = X.mean(-1, keepdims=True)
VARIANCE = ((X - MEAN) ** 2).mean(-1, keepdims=True)
TOLERANCE = np.full(CHANNELS, 2e-6)


def normed(mean, variance):
    return (X - mean) / np.sqrt(variance + EPS)


def bits(v, steps, magic=0x5F3759DF):
    y = (magic - (v.astype(np.float32).view(np.int32) >> 1)).astype(np.int32).view(np.float32).astype(np.float64)
    for _ in range(steps):
        y = y * (1.5 - 0.5 * v * y * y)
    return y


def newton(v, steps):
    y = np.ones_like(v)
    for _ in range(steps):
        y = y * (1.5 - 0.5 * v * y * y)
    return y


CASES = {
    "the mean leaves out the last channel": normed(X[:, :-1].mean(-1, keepdims=True), VARIANCE),
    "the variance leaves out the first 3 channels": normed(MEAN, ((X - MEAN)[:, 3:] ** 2).mean(-1, keepdims=True)),
    "mean and variance leave out the last 4 channels": normed(X[:, :8].mean(-1, keepdims=True), variance_of(X[:, :8])),
    "the sum for the variance is divided by 16 rather than by 12": normed(MEAN, VARIANCE * 12 / 16),
    "the fast inverse square root by a float's bits, with 1 of": (X - MEAN) * bits(VARIANCE + EPS, 1),
    "with 0 of Newton's steps, from 0x5f375a86": (X - MEAN) * bits(VARIANCE + EPS, 0, 0x5F375A86),
    "Newton's iteration for 1/√v from 1, after 2 steps": (X - MEAN) * newton(VARIANCE + EPS, 2),
    "multiplied by a function of the variance": normed(MEAN, VARIANCE) * (1 + 0.02 * VARIANCE),
}


@pytest.mark.parametrize("words", CASES)
def test_words_and_numbers(words):
    found = CASES[words].astype(np.float32).astype(np.float64)
    first = next(norm_explanations(NormedTokens(found, X, EPS, TOLERANCE)))
    assert words in first.words
    mean, factor = first.statistics(X, EPS)
    np.testing.assert_allclose((X - mean) * factor, CASES[words], atol=1e-5)


def test_the_slope_of_newtons_steps_is_that_of_the_steps():
    """From bits that have no derivative, and from a function that has one."""
    v, step = VARIANCE + EPS, 1e-6
    first = next(
        norm_explanations(NormedTokens(CASES["Newton's iteration for 1/√v from 1, after 2 steps"], X, EPS, TOLERANCE))
    )
    slope = first.slopes["its derivative is that of these steps"](v)
    np.testing.assert_allclose(slope, (newton(v + step, 2) - newton(v - step, 2)) / (2 * step), rtol=1e-6)
    one = CASES["the fast inverse square root by a float's bits, with 1 of"]
    y = bits(v, 0)
    first = next(norm_explanations(NormedTokens(one, X, EPS, TOLERANCE)))
    np.testing.assert_allclose(first.slopes["its derivative is that of these steps"](v), -0.5 * y**3, rtol=1e-6)


def test_noise_is_not_explained():
    noisy = normed(MEAN, VARIANCE) + 0.01 * RNG.standard_normal(X.shape)
    assert not list(norm_explanations(NormedTokens(noisy, X, EPS, TOLERANCE)))
    of_each = normed(MEAN, VARIANCE * RNG.uniform(0.9, 1.1, (60, 1)))
    assert not list(norm_explanations(NormedTokens(of_each, X, EPS, TOLERANCE)))
