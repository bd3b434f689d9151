"""Checks of arguments: NumPy's numbers are numbers, and each message names the argument and what it has to be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npswin import checks


@given(value=st.integers(-5, 5), kind=st.sampled_from((int, np.int8, np.int64, np.array)))
def test_integers(value, kind):
    number = checks.check_integer("n", kind(value), -5, 5)
    assert number == value
    assert type(number) is int
    for bounds, text in (((value + 1,), f"at least {value + 1}"), ((None, value - 1), f"at most {value - 1}")):
        with pytest.raises(ValueError, match=rf"^n: got .*{value}\D*, expected an integer of {text}$"):
            checks.check_integer("n", kind(value), *bounds)


@pytest.mark.parametrize("value", [True, 2.0, "2", None, np.float64(2), np.ones(1, int), [2], np.bool_(True), 1j])
def test_what_is_no_integer(value):
    with pytest.raises(ValueError, match=r"^n: got .*, expected an integer of at least 1 and at most 3$"):
        checks.check_integer("n", value, 1, 3)


@pytest.mark.parametrize("kind", [int, float, np.int64, np.float16, np.float64, np.array])
def test_numbers(kind):
    number = checks.check_number("x", kind(2), at_least=2, at_most=2)
    assert number == 2
    assert type(number) is float


NOT_NUMBERS = [True, "2", None, np.nan, np.inf, -np.inf, np.ones(1), [2.0], 2j, 10**400, np.float32("nan")]


@pytest.mark.parametrize("value", NOT_NUMBERS, ids=repr)
def test_what_is_no_number(value):
    with pytest.raises(ValueError, match=r"^x: got .*, expected a finite number$"):
        checks.check_number("x", value)


@pytest.mark.parametrize(
    ("bounds", "wrong", "expected"),
    [
        ({"at_least": 0}, -1e-300, "a finite number of at least 0"),
        ({"above": 0}, 0, "a finite number above 0"),
        ({"at_least": 0, "below": 1}, 1, "a number in [0, 1)"),
        ({"above": 0, "at_most": 1}, 0, "a number in (0, 1]"),
        ({"at_most": 3}, 3.5, "a finite number of at most 3"),
        ({"below": 3}, 3, "a finite number below 3"),
    ],
)
def test_ranges(bounds, wrong, expected):
    with pytest.raises(ValueError, match=r"^x: got ") as caught:
        checks.check_number("x", wrong, **bounds)
    assert str(caught.value).endswith(f", expected {expected}")


def test_flags_choices_and_generators():
    assert checks.check_flag("f", np.bool_(True)) is True
    with pytest.raises(ValueError, match=r"^f: got 1, expected True or False$"):
        checks.check_flag("f", 1)
    assert checks.check_choice("c", "a", ("a", "b")) == "a"
    for wrong in ("A", None, 1, ["a"], np.ones(2)):
        with pytest.raises(ValueError, match=r"^c: got .*, expected one of 'a', 'b'$"):
            checks.check_choice("c", wrong, ("a", "b"))
    rng = np.random.default_rng(0)
    assert checks.check_generator("rng", rng) is rng
    for wrong in (0, None, np.random.RandomState(0), np.random):
        with pytest.raises(ValueError, match=r"^rng: got .*, expected a generator"):
            checks.check_generator("rng", wrong)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1.0, 2.0], r"got \[1.0, 2.0\], expected an image; numpy.asarray makes one"),
        (np.ma.ones(3), r"got a float64 MaskedArray of shape \(3,\), expected an image; its mask would be ignored"),
        (np.matrix([[1]]), r"got an int64 matrix of shape \(1, 1\), expected an image; numpy.asarray makes one"),
        (None, "got None, expected an image$"),
        (3, "got 3, expected an image$"),
    ],
)
def test_what_is_no_array(value, message):
    with pytest.raises(ValueError, match=rf"^x: {message}"):
        checks.check_array("x", value, "an image")
    array = np.ones(2)
    assert checks.check_array("x", array) is array


class Unshowable:
    def __repr__(self):
        raise RuntimeError


@pytest.mark.parametrize("value", ["x" * 10**6, list(range(10**6)), 10**5000, {"a": [1] * 10**5}, Unshowable()], ids=id)
def test_values_are_shown_shortly(value):
    assert len(checks.shown(value)) < 100
