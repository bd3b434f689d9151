"""Wrong arguments of public functions: a sample of `tests/tools/misuse.py`, and that it finds what is wrong."""

import inspect

import numpy as np
import pytest

from npswin import backends, ops
from tests.tools.misuse import BAD, lacking, misuses, report, run, sample, surroundings, try_misuse
from tests.tools.misuse import Misuse as Case
from tests.tools.misuse_examples import EXAMPLES, Example
from tests.tools.misuse_ops import op_examples
from tests.tools.misuse_surface import Entry, public_surface
from tests.tools.misuse_values import VALUES, array, fingerprint, integer, number, same_but_for_rounding

SAMPLE = 1200  # of about 77,500; takes some seconds
SAMPLE_OF_OPS = 4000  # of about 31,500, with the numpy backend
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


def bad_lines(cases, examples=EXAMPLES):
    return [line for line in report(run(cases, examples)) if line.startswith(BAD)]


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


def test_every_op_has_a_right_call():
    entries, examples = op_examples()
    lacking_ops = set(ops.__all__) - {entry.name.rpartition(".")[2] for entry in entries}
    assert not lacking_ops, f"add {sorted(lacking_ops)} to KINDS in tests/tools/misuse_ops.py"
    for entry in entries:
        arguments = examples[entry.name].arguments()
        positional = [arguments.pop(one.name) for one in entry.parameters if one.kind is one.POSITIONAL_ONLY]
        entry.function(*positional, **arguments)


def test_a_sample_of_misuses_of_ops_ends_well():
    surface, examples = op_examples()
    lines = bad_lines(sample(misuses(surface, examples, seed=0), SAMPLE_OF_OPS), examples)
    assert not lines, "\n".join(lines)


@pytest.mark.thorough
@pytest.mark.parametrize("backend", ["numpy", "cpu"])
def test_every_misuse_of_ops_ends_well(backend):
    if backend == "cpu":
        pytest.importorskip("numba")
    backends.set_backend(backend)
    surface, examples = op_examples()
    lines = bad_lines(misuses(surface, examples, seed=0), examples)
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


def test_arguments_that_are_right_by_themselves_have_to_fit_together():
    def strict(one, two):
        if one > two:
            raise ValueError(f"one: got {one}, expected at most two")

    def lax(one, two):
        return one / two

    kinds = {"one": number(), "two": number()}
    for fits, outcomes in {
        lambda given: given["one"] <= given["two"]: ["accepted", "refused", "accepted", "garbage"],
        lambda given: True: ["accepted", "differs", "accepted", "accepted"],
    }.items():
        example = Example(lambda: {"one": 1.0, "two": 1.0}, kinds, fits=fits)
        found = []
        for function in (strict, lax):
            entry = Entry("two", function, list(inspect.signature(function).parameters.values()), frozenset())
            found += [try_misuse(Case(entry, (("one", value),)), example).outcome for value in ("0.5", "1.5")]
        assert found == outcomes


def test_results_of_other_layouts_may_differ_by_rounding():
    def outcome(error, rounds):
        def total(x):
            sums = np.array([[x.sum(), -1.0]])
            return sums * (1 + (0 if x.flags.c_contiguous else error)), float(sums[0, 0])

        entry = Entry("total", total, list(inspect.signature(total).parameters.values()), frozenset())
        example = Example(lambda: {"x": np.ones((3, 4))}, {"x": array("f")}, rounds=rounds)
        return try_misuse(Case(entry, (("x", "it not contiguous"),)), example).outcome

    assert outcome(1e-15, rounds=True) == "accepted"
    assert outcome(1e-15, rounds=False) == "differs"
    assert outcome(1e-9, rounds=True) == "differs"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (0.1 + 0.2, 0.3, True),
        (0.3, 0.3001, False),
        (np.float64("nan"), float("nan"), True),
        (1.0, "1.0", False),
        ([1.0, np.arange(3.0)], [1.0, np.arange(3.0) + 1e-15], True),
        (np.arange(3.0), np.arange(3), False),
        (np.array([np.inf, 1e-20]), np.array([np.inf, 2e-20]), False),
        (np.array([1.0, 1e-20]), np.array([1.0, 2e-20]), True),
    ],
)
def test_what_is_the_same_but_for_rounding(one, other, same):
    assert same_but_for_rounding(fingerprint(one), fingerprint(other)) == same


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
