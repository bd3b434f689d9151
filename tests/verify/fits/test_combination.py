"""The sum of few terms that an array is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npswin.verify.fits.combination import find_combination
from npswin.verify.fits.numbers import chosen
from tests.thorough import examples

RIGHT = {"a": 1.0, "b": -1.0}
NUMBERS = {"C": 7.0, "1/C": 1 / 7}
ROUNDING = 1e-6


def terms(size, seed, names="abcdefgh"):
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(size) for name in names}


def found_of(factors, made, seed=0):
    noise = np.random.default_rng(seed + 100).uniform(-ROUNDING, ROUNDING, next(iter(made.values())).shape)
    return sum(factor * made[name] for name, factor in factors.items()) + noise


def combination(found, made):
    return find_combination(found, made, RIGHT, list(NUMBERS.values()), ROUNDING)


@settings(max_examples=examples(60))
@given(
    names=st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=3, unique=True),
    factors=st.lists(st.sampled_from([1.0, -1.0, 2.0, 0.5, 7.0, 1 / 7]), min_size=3, max_size=3),
    size=st.integers(16, 300),
    seed=st.integers(0, 99),
)
def test_the_terms_and_factors_are_found(names, factors, size, seed):
    made, planted = terms(size, seed), dict(zip(names, factors, strict=False))
    best = combination(found_of(planted, made, seed), made)
    assert best is not None
    assert best.factors == pytest.approx(planted)
    assert best.fitted == 0


def test_a_factor_that_is_no_known_number_is_fitted():
    made = terms(100, 1)
    best = combination(found_of({"a": 1.0, "c": 0.377}, made), made)
    assert best is not None
    assert best.factors == pytest.approx({"a": 1.0, "c": 0.377}, rel=1e-5)
    assert best.fitted == 1


def test_a_term_is_added_to_the_whole_right_sum():
    made = terms(100, 2)
    planted = RIGHT | {"d": 2.0, "e": -1.0}
    best = combination(found_of(planted, made), made)
    assert best is not None
    assert (best.factors, best.changed) == (planted, 2)


@settings(max_examples=examples(60))
@given(size=st.integers(8, 300), seed=st.integers(0, 999))
def test_other_numbers_are_no_sum(size, seed):
    made = terms(size, seed)
    assert combination(np.random.default_rng(seed + 1000).standard_normal(size), made) is None


def test_the_right_sum_is_not_changed():
    made = terms(50, 3)
    best = combination(found_of(RIGHT, made), made)
    assert best is not None
    assert best.changed == 0


def test_few_numbers_are_no_evidence():
    made = terms(5, 4)
    best = combination(found_of({"c": 0.3, "d": 0.7}, made), made)
    assert best is None or len(best.factors) == 1


@pytest.mark.parametrize(("number", "expected"), [(0.100003, 0.1), (1.49999, 1.5), (0.1237, 0.1237), (-2.0001, -2.0)])
def test_numbers_of_few_digits(number, expected):
    assert chosen(number) == expected
