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


def test_lists_that_contain_themselves():
    endless = [1.0]
    endless += [endless, (endless, endless)]
    with pytest.raises(ValueError, match=r"^x: got \[1.0, .*, expected an array"):
        checks.check_array_like("x", endless)


class Unshowable:
    def __repr__(self):
        raise RuntimeError


@pytest.mark.parametrize(
    "value",
    ["x" * 10**6, list(range(10**6)), 10**5000, {"a": [1] * 10**5}, Unshowable()],
    ids=lambda value: type(value).__name__,
)
def test_values_are_shown_shortly(value):
    assert len(checks.shown(value)) < 100


def test_bounds_of_infinite_numbers():
    assert checks.check_number("x", np.inf, above=0, finite=False) == np.inf
    assert np.isnan(checks.check_number("x", np.nan, finite=False))
    for wrong in (np.nan, 0, -np.inf, "inf", 10**400):
        with pytest.raises(ValueError, match=r"^x: got .*, expected a number above 0$"):
            checks.check_number("x", wrong, above=0, finite=False)


@pytest.mark.parametrize(
    "value", [(0.5, 1), [np.float32(0.5), np.int64(1)], np.array([0.5, 1]), np.longdouble([0.5, 1])]
)
def test_tuples_of_numbers(value):
    numbers = checks.check_numbers("x", value, 2, at_least=0, at_most=1)
    assert numbers == (0.5, 1.0)
    assert {type(number) for number in numbers} == {float}


WRONG_TUPLES = [
    None,
    0.5,
    "12",
    (0.5,),
    (0.5, 2),
    (0.5, np.nan),
    (0.5, "1"),
    np.ones((1, 2)),
    np.ma.ones(2),
    iter((0, 1)),
]


@pytest.mark.parametrize("value", WRONG_TUPLES, ids=lambda value: type(value).__name__)
def test_what_is_no_tuple_of_numbers(value):
    with pytest.raises(ValueError, match=r"^x: got .*, expected 2 numbers, each a number in \[0, 1\]$"):
        checks.check_numbers("x", value, 2, at_least=0, at_most=1)


def test_sizes_have_a_bound_that_is_named_where_it_is_exceeded():
    assert checks.check_size("n", np.int64(3)) == 3
    with pytest.raises(ValueError, match=r"^n: got 0, expected an integer of at least 1$"):
        checks.check_size("n", 0)
    with pytest.raises(ValueError, match=r"^n: got 10.*, expected an integer of at least 1 and at most 2147483647$"):
        checks.check_size("n", 10**30)


def test_texts_paths_objects_and_functions(tmp_path):
    assert checks.check_text("t", "a") == "a"
    assert checks.check_path("p", str(tmp_path)) == checks.check_path("p", tmp_path) == tmp_path
    assert checks.check_instance("o", 1, int, "a number") == 1
    assert checks.check_callable("f", len) is len
    for check, wrongs in {
        checks.check_text: (None, b"a", 1),
        checks.check_path: (None, b"a", 1, "", "a\0b"),
        checks.check_callable: (None, "len"),
    }.items():
        for wrong in wrongs:
            with pytest.raises(ValueError, match=r"^x: got .*, expected (text|a path|a function)$"):
                check("x", wrong)
    with pytest.raises(ValueError, match=r"^o: got '1', expected a number$"):
        checks.check_instance("o", "1", int, "a number")


def test_dtypes_in_messages_are_short_and_have_their_byte_order():
    fields = np.dtype([(f"field{number}", "f4") for number in range(1000)])
    arrays = np.zeros(2, ">f4"), np.zeros(2, "=f4"), np.zeros(2, fields)
    assert [checks.describe(array) for array in arrays[:2]] == [">f4 of shape (2,)", "float32 of shape (2,)"]
    assert all(len(text) < 60 for array in arrays for text in (checks.describe(array), checks.shown(array)))


def test_dtypes():
    for value in ("float32", np.float32, np.dtype(">f4"), "f4"):
        assert checks.check_dtype("d", value, ("float32", "float64")) == np.dtype("float32")
    assert checks.check_dtype("d", np.longdouble) == np.longdouble
    for wrong in (None, "float16", int, "no such", {}, np.ones(2), np.float32(1)):
        with pytest.raises(ValueError, match=r"^d: got .*, expected 'float32' or 'float64'$"):
            checks.check_dtype("d", wrong, ("float32", "float64"))
    with pytest.raises(ValueError, match=r"^d: got .*, expected a floating-point dtype$"):
        checks.check_dtype("d", complex)


def test_lists_are_like_arrays_unless_they_hide_something():
    np.testing.assert_array_equal(checks.check_array_like("x", [[1, 2], (3, 4)]), [[1, 2], [3, 4]])
    array = np.ones(2)
    assert checks.check_array_like("x", array) is array
    masked = np.ma.array([1.0], mask=[True])
    for wrong in ([[1], [1, 2]], [masked], [[masked]], [np.ma.masked], ["a"], [None], masked, 3, "ab"):
        with pytest.raises(ValueError, match=r"^x: got .*, expected an array"):
            checks.check_array_like("x", wrong)
