"""Wrong arguments of public functions: a sample of `tests/tools/misuse.py`, and that it finds what is wrong."""

import inspect

import numpy as np
import pytest

from npswin import backends
from tests.tools.misuse import BAD, lacking, misuses, report, run, sample, surroundings, try_misuse
from tests.tools.misuse import Misuse as Case
from tests.tools.misuse_examples import EXAMPLES, Example
from tests.tools.misuse_surface import Entry, public_surface
from tests.tools.misuse_values import VALUES, integer, number

SAMPLE = 1200  # of about 40,000; takes some seconds
PARTS = 8


@pytest.fixture(autouse=True)
def own_folder():
    """The numpy backend, in a folder of its own."""
    before = backends.get_backend()
    backends.set_backend("numpy")
    with surroundings():
        yield
    backends.set_backend(before)


def all_cases():
    return misuses(public_surface(), EXAMPLES, seed=0)


def bad_lines(cases):
    return [line for line in report(run(cases, EXAMPLES)) if line.startswith(BAD)]


def test_every_public_function_has_a_right_call():
    lines = lacking(public_surface())
    assert not lines, "\n".join(lines)


def test_right_calls_are_right():
    """Each example returns; else every misuse of it would be refused."""
    for entry in public_surface():
        arguments = EXAMPLES[entry.name].arguments()
        own = [arguments.pop("self")] if "self" in arguments else []
        entry.function(*own, **arguments)


def test_a_sample_of_misuses_ends_well():
    cases = all_cases()
    assert len(cases) >= 5000
    lines = bad_lines(sample(cases, SAMPLE))
    assert not lines, "\n".join(lines)


@pytest.mark.thorough
@pytest.mark.parametrize("part", range(PARTS))
def test_every_misuse_ends_well(part):
    lines = bad_lines(all_cases()[part::PARTS])
    assert not lines, "\n".join(lines)


def half(count):
    """Raises nothing itself.

    Raises:
        KeyError: documented.
    """
    return count / 2


def with_check(count):
    if isinstance(count, bool) or not isinstance(count, int):
        raise ValueError("count: got something, expected an integer")
    return count


def without_name(count):
    raise ValueError("got something, expected an integer")


def documented(count):
    """Says so.

    Raises:
        KeyError: for count.
    """
    raise KeyError("count: got another")


def different(count):
    return type(count).__name__


@pytest.mark.parametrize(
    ("function", "value", "outcome"),
    [
        (with_check, "None", "refused"),
        (with_check, "2", "accepted"),
        (with_check, "np.int64(1)", "differs"),  # refused, although 1 is accepted
        (with_check, "it with nan", "refused"),
        (half, "None", "error"),
        (half, "np.int64(1)", "accepted"),
        (half, "nan", "garbage"),
        (half, "True", "garbage"),
        (without_name, "None", "error"),
        (documented, "None", "refused"),
        (different, "np.int64(1)", "differs"),
        (different, "2", "accepted"),
    ],
)
def test_outcomes(function, value, outcome):
    entry = Entry("half", function, list(inspect.signature(function).parameters.values()), frozenset())
    if function is documented:
        entry = entry._replace(errors=frozenset(["KeyError"]))
    assert value in VALUES
    result = try_misuse(Case(entry, (("count", value),)), Example(lambda: {"count": 3}, {"count": integer()}))
    assert result.outcome == outcome, result


def test_the_other_name_of_an_argument_is_accepted_only_for_a_right_value():
    def together(one, two):
        raise ValueError(f"two: got {two}, expected less")

    entry = Entry("together", together, list(inspect.signature(together).parameters.values()), frozenset())
    example = Example(lambda: {"one": 1.0, "two": 2.0}, {"one": number(), "two": number()})
    outcomes = [try_misuse(Case(entry, (("one", value),)), example).outcome for value in ("0.5", "None")]
    assert outcomes == ["refused", "error"]


def test_a_call_that_changes_an_object_is_compared_by_what_it_changed():
    class Box:
        def __init__(self):
            self.params = {"w": np.zeros(1)}

        def add(self, count):
            self.params["w"] += 1 if type(count) is int else 2

    entry = Entry("Box.add", Box.add, list(inspect.signature(Box.add).parameters.values())[1:], frozenset())
    example = Example(lambda: {"self": Box(), "count": 3}, {"count": integer()})
    assert try_misuse(Case(entry, (("count", "np.int64(1)"),)), example).outcome == "differs"
    assert try_misuse(Case(entry, (("count", "2"),)), example).outcome == "accepted"
