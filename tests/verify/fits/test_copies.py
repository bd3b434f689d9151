"""Numbers that stand in another array by a rule: the places that the rule gives, and its words."""

import numpy as np
import pytest

from npswin.verify.fits.copies import copies
from npswin.verify.fits.explanation import Evidence
from npswin.verify.fits.families import first_explanation
from npswin.verify.fits.words import Axis

RNG = np.random.default_rng(0)
SHAPE = (3, 4, 5, 6)
AXES = [[Axis("B", 3)], [Axis("row", 4)], [Axis("column", 5)], [Axis("C", 6)]]
RIGHT, OTHER = RNG.standard_normal((2, *SHAPE))


def with_part(where, numbers):
    found = RIGHT.copy()
    found[where] = numbers
    return found


CASES = {
    "in columns 3, 4 there are the numbers of other, in the same places":
        with_part(np.s_[:, :, 3:], OTHER[:, :, 3:]),
    "in images 1, 2 there are the numbers of other, at 1 image before": with_part(np.s_[1:], OTHER[:-1]),
    "in the last image there are the numbers of other, at image 0": with_part(2, OTHER[0]),
    "in the last 11 numbers in memory there are the numbers of other, in the same places":
        np.append(RIGHT.reshape(-1)[:-11], OTHER.reshape(-1)[-11:]).reshape(SHAPE),
    "in columns 0, 1, 2 there are the numbers of other, at row = row + column, around the end, column 1":
        with_part(np.s_[:, :, :3], np.stack([np.roll(OTHER[:, :, 1], -step, 1) for step in range(3)], 2)),
    "in columns 0, 1, 2 there are the numbers of other, at 2 rows after, the last one repeated":
        with_part(np.s_[:, :, :3], OTHER[:, [2, 3, 3, 3], :3]),
    "in the last row there are the numbers of other, its memory read 31 numbers before":
        with_part(np.s_[:, 3], OTHER.reshape(-1)[np.arange(360).reshape(SHAPE)[:, 3] - 31]),
}  # fmt: skip


def found_copies(found, tolerance=1e-9):
    return list(copies(found, RIGHT, AXES, tolerance, [("other", OTHER, AXES)]))


@pytest.mark.parametrize("words", CASES)
def test_a_copy_is_told_by_its_rule(words):
    (copy,) = found_copies(CASES[words])
    assert copy.words == words
    made = RIGHT.copy()
    made[copy.wrong] = OTHER.reshape(-1)[copy.places]
    np.testing.assert_array_equal(made, CASES[words])


def test_single_numbers_that_are_wrong_by_chance_only_do_not_divide_a_box():
    """In a row of copies, some numbers equal the right ones."""
    found = CASES["in columns 3, 4 there are the numbers of other, in the same places"].copy()
    right = RIGHT.copy()
    right[0, 0, 3:] = found[0, 0, 3:]
    (copy,) = copies(found, right, AXES, 1e-9, [("other", OTHER, AXES)])
    assert copy.where == "in columns 3, 4"


@pytest.mark.parametrize(
    "found",
    [
        with_part(np.s_[:, :, 3:], RNG.standard_normal((3, 4, 2, 6))),
        with_part(np.s_[:, :, 3:], RNG.permutation(OTHER[:, :, 3:].reshape(-1)).reshape(3, 4, 2, 6)),
        with_part(np.s_[:, :, 3:], 2 * OTHER[:, :, 3:]),
        with_part(np.s_[0, 0, 0], OTHER[0, 0, 0]),
    ],
    ids=["other numbers", "without a rule", "multiples", "too few"],
)
def test_other_numbers_are_no_copies(found):
    assert not found_copies(found)


def test_an_array_that_is_the_beginning_of_a_larger_ones_memory():
    """As where rows are read that are longer than they are taken to be."""
    larger = RNG.standard_normal((3, 4, 7, 6))
    axes = [*AXES[:2], [Axis("column", 7)], AXES[3]]
    found = larger.reshape(-1)[: RIGHT.size].reshape(SHAPE)
    (copy,) = copies(found, larger[:, :, :5], AXES, 1e-9, [("larger", larger, axes)])
    assert copy.words == "in all of it there are the numbers of larger, at the same places in memory"


def test_a_constant_in_some_rows_is_told_with_them():
    found = with_part(np.s_[:, 2:, 4], 0.25)
    explanation = first_explanation(Evidence(found, RIGHT, AXES, 1e-9, {}))
    assert explanation.words == "the last column of rows 2, 3 are 0.25"
    assert explanation.fitted == 1
