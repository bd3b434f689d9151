"""Grids that were resampled are told with the size and the method; others are not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npswin.verify.fits.explanation import Evidence
from npswin.verify.fits.families import explanations, first_explanation
from npswin.verify.fits.resampled import METHODS
from npswin.verify.fits.words import Axis

SIDE, HEADS = 7, 2


def evidence(found, right, side=SIDE):
    axes = [[Axis("offset row", side), Axis("offset column", side)], [Axis("head", HEADS)]]
    return Evidence(found, right, axes, 1e-9, {})


def table(seed, side=SIDE):
    return np.random.default_rng(seed).standard_normal((side * side, HEADS))


def resampled(array, size, method, back_by=None):
    """A table (side², heads) brought to a size by one method, and back by the same or another one."""
    side = int(len(array) ** 0.5)
    there = METHODS[method](size, side)
    back = METHODS[back_by or method](side, size)
    grid = np.einsum("ah,hwc,bw->abc", back @ there, array.reshape(side, side, -1), back @ there)
    return grid.reshape(array.shape)


@given(st.integers(0, 100), st.sampled_from([3, 5, 9, 11, 13]), st.sampled_from(list(METHODS)))
@settings(max_examples=25)
def test_a_table_that_was_resized_and_brought_back(seed, size, method):
    right = table(seed)
    found = resampled(right, size, method)
    explanation = first_explanation(evidence(found, right))
    if np.abs(found - right).max() < 1e-9:  # by nearest neighbours a larger grid leads back to the same numbers
        assert explanation is None
        return
    if "nearest" not in method:  # which puts rows and columns in place of others
        assert f"resized to {size} × {size} and back" in explanation.words
    np.testing.assert_allclose(explanation.pair[0](right)[0], found, atol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_the_words_name_the_method_where_only_one_gives_the_numbers(method):
    right = table(3)
    words = [each.words for each in explanations(evidence(resampled(right, 5, method), right))]
    assert f"it is resized to 5 × 5 and back, {method}" in words


def test_a_table_resized_as_a_list():
    right = table(1)
    both = METHODS["bilinearly"](SIDE**2, 25) @ METHODS["bilinearly"](25, SIDE**2)
    words = first_explanation(evidence(both @ right, right)).words
    assert words == "it is resized to a list of 25 and back, bilinearly"


def test_a_table_that_came_from_a_smaller_one_in_another_way():
    small = table(2, 5).reshape(5, 5, HEADS)
    found, right = (
        np.einsum("oh,hwc,pw->opc", METHODS[method](SIDE, 5), small, METHODS[method](SIDE, 5)).reshape(-1, HEADS)
        for method in ("bilinearly", "bicubically")
    )
    assert first_explanation(evidence(found, right)).words == "it is resized from 5 × 5 bilinearly, not bicubically"


def test_a_smaller_table_of_other_numbers():
    small = table(4, 5).reshape(5, 5, HEADS)
    up = METHODS["bicubically"](SIDE, 5)
    found = np.einsum("oh,hwc,pw->opc", up, small, up).reshape(-1, HEADS)
    explanation = first_explanation(evidence(found, table(5)))
    assert explanation.words == "it is resized bicubically from 5 × 5 other numbers"
    assert explanation.fitted == 25 * HEADS


def test_another_table_is_not_told_as_resized():
    assert not [one for one in explanations(evidence(table(6), table(7))) if "resized" in one.words]


def test_the_derivative_is_that_of_the_resizing():
    right, rng = table(8), np.random.default_rng(9)
    pair = first_explanation(evidence(resampled(right, 5, "bicubically"), right)).pair
    dy, direction = rng.standard_normal((2, *right.shape))
    assert np.vdot(pair[1](dy, None), direction) == pytest.approx(np.vdot(dy, pair[0](direction)[0]))
