"""Each family of explanations explains what it is for, by its own words, and gives the numbers and the derivative."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npswin.verify.fits.explanation import Evidence
from npswin.verify.fits.families import explanations, first_explanation
from npswin.verify.fits.words import Axis

AXES = [[Axis("B", 2)], [Axis("head", 3)], [Axis("query", 8)], [Axis("key", 8)]]
SHAPE = (2, 3, 8, 8)
RNG = np.random.default_rng(0)
X, OTHER = RNG.standard_normal((2, *SHAPE))

PER_HEAD = np.array([1.5, 0.7, 2.0]).reshape(3, 1, 1)


def evidence(found, right=X, tolerance=1e-9):
    return Evidence(found, right, AXES, tolerance, {"other.tensor": OTHER})


def to_grid(x, axes=None):
    step = np.abs(x).max(axis=axes, keepdims=True) / 127
    return np.rint(x / step) * step


def largest_kept(x):
    return np.where(x >= np.sort(x, -1)[..., [-3]], x, 0)


def of_head_1(x, y):
    z = x.copy()
    z[:, 1] = y
    return z


def last_of_image_1(x, factor):
    z = x.copy()
    z[1, :, 5:] *= factor
    return z


CASES = {
    "all numbers are 0": 0 * X,
    "all numbers are multiplied by -1": -X,
    "all numbers are multiplied by 1.37": 1.37 * X,
    "it is other.tensor": OTHER,
    "it is the mean of itself and other.tensor": (X + OTHER) / 2,
    "other.tensor is added to it": X + OTHER,
    "other.tensor is subtracted from it": X - OTHER,
    "it is multiplied by other.tensor": X * OTHER,
    "it is divided by other.tensor": X / OTHER,
    "0.25 of other.tensor and 0.75 of itself": 0.75 * X + 0.25 * OTHER,
    "it is other.tensor, and the heads are in reversed order": OTHER[:, ::-1],
    "each is that 3 places before it in the memory of (heads, queries, keys); 0 comes in":
        np.pad(X.reshape(2, -1)[:, :-3], ((0, 0), (3, 0))).reshape(SHAPE),
    "each is the one after it in the memory of (images, heads, queries, keys); the number at the edge":
        np.append(X.reshape(-1)[1:], X[-1, -1, -1, -1]).reshape(SHAPE),
    "the queries are rolled by 2": np.roll(X, 2, 2),
    "rounded to bfloat16": (X.astype(np.float32).view(np.uint32) + 0x8000 & 0xFFFF0000).view(np.float32),
    "rounded to float16": X.astype(np.float16).astype(float),
    "rounded to a grid of step": to_grid(X),
    "a grid of its own for each head": to_grid(X, (0, 2, 3)),
    "head 1 is 0": of_head_1(X, 0),
    "head 1 is that of other.tensor": of_head_1(X, OTHER[:, 1]),
    "head 1 is multiplied by 3": of_head_1(X, 3 * X[:, 1]),
    "a ReLU is applied": np.maximum(X, 0),
    "16 sigmoid(x) is taken": 16 / (1 + np.exp(-X)),
    "it is limited below at -1 and above at 0.5": np.clip(X, -1, 0.5),
    ", the range of image 0": np.clip(X, X[0].min(), X[0].max()),
    "it wraps around at 1, from where it goes on at -1": (X + 1) % 2 - 1,
    "without saturation, in fixed point of 16 bits, rounded down": (np.floor(X * 2**15) / 2**15 + 1) % 2 - 1,
    "a function of each number": np.sin(3 * X) + X**3,
    "of the numbers are 7": np.where(X > 0.3, X, 7.0),
    "in each row the 3 largest are kept": largest_kept(X),
    "0.5 is added to all numbers": X + 0.5,
    "each number x is 2.5 x + 0.5": 2.5 * X + 0.5,
    "all heads are their mean": np.repeat(X.mean(1, keepdims=True), 3, 1),
    "each head is 0.2 of head 0 + 0.3 of head 1 + 0.5 of head 2": np.repeat(
        np.tensordot([0.2, 0.3, 0.5], X, (0, 1))[:, None], 3, 1
    ),
    "the mean over the heads is subtracted": X - X.mean(1, keepdims=True),
    "each head is multiplied by 1.5, 0.7, 2": X * PER_HEAD,
    "the last image is multiplied by 1.25": X * np.array([1, 1.25]).reshape(2, 1, 1, 1),
    "a number for each head is added": X + PER_HEAD,
    "each head has a factor and an offset": X * PER_HEAD + PER_HEAD**2,
    "queries 5, 6, 7 of the last image are 0": last_of_image_1(X, 0),
    "queries 5, 6, 7 of the last image are multiplied by 0.57735 = 1/√3": last_of_image_1(X, 3**-0.5),
    "it is divided by its length over the keys": X / np.linalg.norm(X, axis=-1, keepdims=True),
    "it is divided by its length over the keys and multiplied by 10": 10
    * X / np.linalg.norm(X, axis=-1, keepdims=True),
    "a log-softmax over the keys is applied": X - np.log(np.exp(X).sum(-1, keepdims=True)),
    "rounded to float8 (e4m3)": X.astype(ml_dtypes.float8_e4m3fn).astype(float),
    "unsigned integers of 8 bits times": np.rint((X - X.min()) * 255 / np.ptp(X)) * np.ptp(X) / 255,
    "are added to all images": X + OTHER[:1] ** 2,
}  # fmt: skip


@pytest.mark.parametrize("words", CASES)
def test_words_and_numbers(words):
    found = np.asarray(CASES[words], np.float64)
    explanation = first_explanation(evidence(found))
    assert explanation is not None
    assert words in explanation.words
    np.testing.assert_allclose(explanation.pair[0](X)[0], found, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("words", [words for words in CASES if not words.startswith(("rounded", "a grid of its own"))])
def test_the_derivative_is_that_of_the_numbers(words):
    """By a difference quotient. Rounding has none: there it passes straight through."""
    if "grid" in words or words.startswith("it is other.tensor") or "mean of itself" in words or "of itself" in words:
        pytest.skip("numbers from elsewhere: the derivative passes to the tensor that they replace")
    pair = first_explanation(evidence(np.asarray(CASES[words], np.float64))).pair
    _, cache = pair[0](X)
    dy, direction, step = RNG.standard_normal(SHAPE), RNG.standard_normal(SHAPE), 1e-6
    if "all numbers are 0" in words:
        pytest.skip("constant numbers")
    if "a function of each number" in words:
        pytest.skip("a curve through the numbers, with an edge at each")
    slope = np.vdot(dy, pair[0](X + step * direction)[0] - pair[0](X - step * direction)[0]) / (2 * step)
    assert np.vdot(pair[1](dy, cache), direction) == pytest.approx(slope, rel=1e-4)


def test_places_are_told_by_the_sign_of_another_array():
    mask = np.where(OTHER > 0.5, -100.0, 0.0)
    found = np.where(mask != 0, -7.0, X)
    fit = Evidence(found, X, AXES, 1e-9, {}, {"the.mask": mask})
    assert first_explanation(fit).words.endswith("of the numbers are -7: those where the.mask is not 0")


def test_places_without_a_rule_count_as_fitted_numbers():
    places = RNG.random(SHAPE) < 0.3
    explanation = first_explanation(evidence(np.where(places, 0, X)))
    assert explanation.words.endswith("of the numbers are 0")
    assert explanation.fitted == places.sum()


def test_a_single_number_has_no_factor_but_by_chance():
    found = X.copy()
    found[1, 2, 3, 4] *= 1.7
    assert not list(explanations(evidence(found)))


def test_noise_around_a_curve_is_no_curve():
    noisy = np.sin(X) + 0.02 * RNG.uniform(-1, 1, SHAPE)
    assert not list(explanations(evidence(noisy)))


def test_a_function_read_from_a_table_has_steps():
    explanation = first_explanation(evidence(np.sin(np.rint(X / 0.05) * 0.05)))
    assert "steps of about 0.0" in explanation.words


def test_what_is_right_or_has_no_relation_is_not_explained():
    assert not list(explanations(evidence(X)))
    assert not list(explanations(evidence(RNG.standard_normal(SHAPE))))
    assert not list(explanations(evidence(np.where(X > 2, np.nan, X))))
    assert not list(explanations(evidence(X[:, :2])))


def test_noise_of_the_size_of_the_tolerance_is_no_explanation():
    noisy = X + 1e-6 * RNG.uniform(-1, 1, SHAPE)
    assert not list(explanations(evidence(noisy, tolerance=1e-6)))


SPECIAL = {
    "zeros": lambda shape, rng: np.zeros(shape),
    "a constant": lambda shape, rng: np.full(shape, 0.7),
    "noise": lambda shape, rng: rng.standard_normal(shape),
    "one number": lambda shape, rng: np.eye(1, int(np.prod(shape))).reshape(shape),
    "a constant in each row": lambda shape, rng: np.broadcast_to(rng.standard_normal((*shape[:-1], 1)), shape).copy(),
    "tiny": lambda shape, rng: 1e-300 * rng.standard_normal(shape),
    "huge": lambda shape, rng: 1e150 * rng.standard_normal(shape),
    "not finite": lambda shape, rng: np.where(rng.random(shape) < 0.3, np.nan, 1.0),
}


@given(
    shape=st.lists(st.integers(1, 9), max_size=4).map(tuple),
    contents=st.tuples(*[st.sampled_from(list(SPECIAL))] * 3),
    tolerance=st.sampled_from([0.0, 1e-9, 0.1]),
    seed=st.integers(0, 9),
)
@settings(max_examples=150)
def test_no_array_makes_an_explanation_fail(shape, contents, tolerance, seed):
    """Arrays without numbers to fit, with a single axis or none. All that is explained has the found numbers."""
    rng = np.random.default_rng(seed)
    found, right, other = (
        SPECIAL[one](shape, rng) if shape else np.asarray(rng.choice([0.0, 1.5])) for one in contents
    )
    axes = [[Axis(name, size)] for name, size in zip(("B", "head", "query", "key"), shape, strict=False)]
    for each in explanations(Evidence(found, right, axes, tolerance, {"other.tensor": other}, {"other.tensor": other})):
        assert each.words
        assert each.pair[0](right)[0].shape == found.shape
