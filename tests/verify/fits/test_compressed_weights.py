"""Weights with fewer numbers: pruned, of low rank, shared, or of few bits; and approximations of GELU."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npswin.verify.fits.explanation import Evidence
from npswin.verify.fits.families import explanations, first_explanation
from npswin.verify.fits.functions import gelu, sigmoid
from npswin.verify.fits.gates import gelu_curves
from npswin.verify.fits.number_formats import NF4
from npswin.verify.fits.words import Axis

W = np.random.default_rng(0).standard_normal((24, 12))
AXES = [[Axis("hidden", 24)], [Axis("C", 12)]]
ml_dtypes = pytest.importorskip("ml_dtypes")


def in_type(x, dtype):
    return x.astype(dtype).astype(np.float64)


def low_rank(x, rank):
    u, s, v = np.linalg.svd(x, full_matrices=False)
    return (u[:, :rank] * s[:rank]) @ v[:rank]


def n_of_m(x, kept, group):
    groups = np.abs(x).reshape(-1, group)
    least = np.sort(groups, axis=1)[:, [-kept]]
    return x * (groups >= least).reshape(x.shape)


def zero_point(x):
    low, step = x.min(), (x.max() - x.min()) / 15
    zero = np.rint(-low / step)
    return (np.clip(np.rint(x / step) + zero, 0, 15) - zero) * step


LARGEST = np.abs(W).max()
ROWS = np.abs(W).max(1, keepdims=True)
STEP = (W - 0.5).max() / 127
CENTRES = np.quantile(W, np.arange(0.5, 8) / 8)
CASES = {
    "its 50% smallest numbers are 0": W * (np.abs(W) > np.median(np.abs(W))),
    "of each 4 numbers of a row the 2 largest are kept, the others are 0 (2:4)": n_of_m(W, 2, 4),
    "in each row the 5 largest numbers are kept": n_of_m(W, 5, 12),
    "approximated by a matrix of rank 3 (the 3 largest singular values of 12)": low_rank(W, 3),
    "a matrix of rank 1 is added": W + np.outer(np.sin(np.arange(24)), np.cos(np.arange(12))),
    "it has 8 different numbers": CENTRES[np.abs(W[..., None] - CENTRES).argmin(-1)],
    "rounded to float8 (e4m3)": in_type(W / 100, ml_dtypes.float8_e4m3fn),
    "rounded to float8 (e5m2)": in_type(W / 1e4, ml_dtypes.float8_e5m2),
    "rounded to float8 (e4m3), scaled to its largest number": in_type(W * 448 / LARGEST, ml_dtypes.float8_e4m3fn)
    * LARGEST / 448,
    "scaled to its largest number for each hidden": in_type(W * 448 / ROWS, ml_dtypes.float8_e4m3fn) * ROWS / 448,
    "rounded to NF4": NF4[np.abs(W[..., None] / LARGEST - NF4).argmin(-1)] * LARGEST,
    "rounded to uint4 with a zero point": zero_point(W),
    "rounded down to a multiple of 0.0078125 = 2^-7": np.floor(W * 128) / 128,
    "rounded towards 0, to a multiple of 1/255": np.trunc(W * 255) / 255,
    "to the nearest multiple of 0.25 = 2^-2, from -1.75 to 1.75": np.clip(np.rint(W * 4), -7, 7) / 4,
    "rounded to powers of 2": np.sign(W) * np.exp2(np.rint(np.log2(np.abs(W)))),
    "replaced by their signs times their mean size for each hidden": np.sign(W) * np.abs(W).mean(1, keepdims=True),
    "rounded to 2 decimals": np.round(W, 2),
    "for each 3 of a row, step": np.rint(W.reshape(-1, 3) / np.abs(W.reshape(-1, 3)).max(1, keepdims=True) * 7).reshape(
        24, 12
    ) * np.repeat(np.abs(W.reshape(-1, 3)).max(1) / 7, 3).reshape(24, 12),
    "for each hidden, step": np.rint(W / ROWS * 127) * ROWS / 127,
    "the step is that of the largest number, not of the largest size": np.clip(np.rint((W - 0.5) / STEP), -128, 127)
    * STEP,
    "they are cut off towards 0, not rounded to the nearest": np.trunc(W / LARGEST * 127) * LARGEST / 127,
    "they were divided by another step": np.rint(W / ROWS * 127) * ROWS / 128,
    "up to 127 steps": np.clip(np.rint(W / (LARGEST / 200)), -127, 127) * (LARGEST / 200),
}  # fmt: skip
SCALES = {"rounded to float8 (e4m3)": 100, "rounded to float8 (e5m2)": 1e4}  # so that some numbers are subnormal


@pytest.mark.parametrize("words", CASES)
def test_a_weight_of_fewer_numbers_is_told(words):
    right = W / SCALES.get(words, 1) - 0.5 * ("largest number, not" in words)
    found = CASES[words]
    explanation = first_explanation(Evidence(found, right, AXES, 1e-9 / SCALES.get(words, 1), {}))
    assert explanation is not None
    assert words in explanation.words
    np.testing.assert_allclose(explanation.pair[0](right)[0], found, atol=1e-8)


def test_a_grid_that_is_limited_by_one_images_range_is_told_with_both_derivatives():
    """Steps from the first image's least number to its largest, as a calibration with this image leaves them."""
    right = np.random.default_rng(3).standard_normal((3, 40, 6))
    low, step = right[0].min(), np.ptp(right[0]) / 63
    found = np.rint((np.clip(right, low, right[0].max()) - low) / step) * step + low
    axes = [[Axis("B", 3)], [Axis("token", 40)], [Axis("C", 6)]]
    told = [one for one in explanations(Evidence(found, right, axes, 1e-7, {})) if "grid" in one.words]
    assert [one.words.endswith("the range of image 0") for one in told] == [True, True]
    derivatives = [one.pair[1](np.ones_like(right), None) for one in told]
    assert (derivatives[0] == 1).all()
    np.testing.assert_array_equal(derivatives[1] == 0, (right < low) | (right > right[0].max()))


@settings(max_examples=20)
@given(st.integers(8, 24), st.integers(8, 24), st.integers(1, 3))
def test_rank_whatever_the_shape(rows, columns, rank):
    weight = np.random.default_rng(rows * columns).standard_normal((rows, columns))
    axes = [[Axis("out", rows)], [Axis("in", columns)]]
    explanation = first_explanation(Evidence(low_rank(weight, rank), weight, axes, 1e-9, {}))
    assert explanation is not None
    assert f"rank {rank} " in explanation.words


def test_other_weights_are_not_explained():
    other = np.random.default_rng(1).standard_normal(W.shape)
    assert not list(explanations(Evidence(other, W, AXES, 1e-9, {})))


def test_a_wrong_row_is_no_matrix_that_is_added():
    other = W.copy()
    other[3] = np.random.default_rng(1).standard_normal(12)
    assert not [one for one in explanations(Evidence(other, W, AXES, 1e-9, {})) if "rank" in one.words]


def rational(t):
    return t * (27 + t * t) / (27 + 9 * t * t)


X = np.random.default_rng(2).standard_normal(2000)
GELUS = {
    "x σ(1.65 x) is taken": X * sigmoid(1.65 * X),
    "x (1 + tanh(0.8 (x + 0.04 x³))) / 2": 0.5 * X * (1 + np.tanh(0.8 * (X + 0.04 * X**3))),
    "x times the gate 0.28 x + 0.5, limited": X * np.clip(0.28 * X + 0.5, 0, 1),
    "Taylor's series of 3 terms": 0.5 * X * (1 + 2 / np.sqrt(np.pi) * (
        X / 2**0.5 - (X / 2**0.5) ** 3 / 3 + (X / 2**0.5) ** 5 / 10)),
    "erf is of |x|, without the sign of x": 0.5 * X * (1 + np.vectorize(math.erf)(np.abs(X) / 2**0.5)),
    "tanh is of |x|, without the sign of x": 0.5 * X * (1 + np.tanh((2 / np.pi) ** 0.5 * np.abs(X + 0.044715 * X**3))),
    "it is of |x|: |x| (1 + erf(|x|/√2)) / 2": gelu(np.abs(X)),
    "GELU is read from a table with steps of 0.125, the nearest entry": gelu(np.rint(X * 8) / 8),
    "from a table with steps of 0.0625 from -2 to 2, a ReLU outside, the entry below":
        np.where(np.abs(X) < 2, gelu(np.floor(X * 16) / 16), np.maximum(X, 0)),
    "GELU is by tanh(t), which is t (27 + t²) / (27 + 9 t²) of t limited to -3 ... 3": 0.5 * X * (1 + rational(
        np.clip((2 / np.pi) ** 0.5 * (X + 0.044715 * X**3), -3, 3))),
}  # fmt: skip


@pytest.mark.parametrize("words", GELUS)
def test_an_approximation_of_gelu_is_told(words):
    found = GELUS[words]
    curves = [one for one in gelu_curves(X, found, 1e-6) if np.abs(one[1](X) - found).max() < 1e-5]
    assert words in curves[0][0]
