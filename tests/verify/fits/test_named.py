"""Fitted numbers are told by the name of the array that they are, with the derivative by it."""

import numpy as np
import pytest

from npswin.verify.fits.named import named_numbers

RNG = np.random.default_rng(0)
P, Q = RNG.uniform(0.5, 2, (2, 6))
LONG, MATRIX = RNG.standard_normal(18), RNG.standard_normal((4, 6))
ARRAYS = {"p": P, "q": Q, "attn.qkv.bias": LONG, "long": np.append(LONG, 1.0)[:11], "matrix": MATRIX}

CASES = {
    "p": P,
    "-q": -Q,
    "1 + p": 1 + P,
    "1 / q": 1 / Q,
    "p²": P**2,
    "√p": np.sqrt(P),
    "half of q": Q / 2,
    "the k part of attn.qkv.bias": LONG[6:12],
    "-the v part of attn.qkv.bias": -LONG[12:],
    "6 numbers of long from number 2 on": LONG[2:8],
    "row 3 of matrix": MATRIX[3],
    "p + q": P + Q,
    "q - p": Q - P,
    "p × q": P * Q,
    "p, sorted": np.sort(P),
    "p, in another order": P[[1, 0, 3, 2, 5, 4]],
}


@pytest.mark.parametrize("words", CASES)
def test_numbers_have_a_name(words):
    named = named_numbers(CASES[words], ARRAYS, 1e-9)
    assert named.words == words
    arrays = [ARRAYS[name] for name in named.arrays]
    np.testing.assert_allclose(named.numbers(*arrays), CASES[words], rtol=1e-12)
    dy, step = RNG.standard_normal(6), 1e-6
    for place, derivative in enumerate(named.derivatives(dy, *arrays)):
        along = RNG.standard_normal(arrays[place].shape)
        ends = [[x + sign * step * along * (i == place) for i, x in enumerate(arrays)] for sign in (1, -1)]
        slope = (dy @ named.numbers(*ends[0]) - dy @ named.numbers(*ends[1])) / (2 * step)
        assert slope == pytest.approx(float((derivative * along).sum()), rel=1e-6)


@pytest.mark.parametrize("numbers", [RNG.standard_normal(6), np.full(6, P[0]), 1.01 * P, P[:3]])
def test_other_numbers_have_none(numbers):
    assert named_numbers(numbers, ARRAYS, 1e-9) is None
