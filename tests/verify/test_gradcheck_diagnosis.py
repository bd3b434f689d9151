"""gradcheck's diagnosis: the kind of each failure is a bug, a kink, a jump, rounding or another."""

import re

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import npswin
from npswin import ops
from npswin.ops.layer_norm import layer_norm_forward
from npswin.verify.gradcheck.diagnosis import summarize
from npswin.verify.gradcheck.differences import central_difference
from npswin.verify.gradcheck.problem import ScalarLoss
from tests.ops.drawn import SEEDS, SIDES, normal

METHODS = st.sampled_from(["central", "complex"])
WAYS = st.sampled_from(["coordinates", "directions"])


def failed(forward, backward, inputs, **arguments):
    """The checks of the tensors that failed, at least one."""
    report = npswin.gradcheck((forward, backward), inputs, raise_on_failure=False, **arguments)
    assert not report.ok
    return [check for check in report.checks if not check.ok]


def some_zeros(seed, *shape):
    """Normal deviates, a third of them 0, the first one for certain."""
    x = normal(seed, *shape)
    x[np.random.default_rng(seed).random(shape) < 1 / 3] = 0
    x.flat[0] = 0
    return x


class TestBugs:
    @given(SEEDS, SIDES, METHODS, WAYS, st.floats(-3, 3).map(lambda factor: round(factor, 3)))
    def test_a_factor_is_named(self, seed, size, method, along, factor):
        assume(factor != 1)
        (check,) = failed(np_sin, lambda dy, x: factor * dy * np.cos(x), normal(seed, size), method=method, along=along)
        assert check.looks_like == "bug"
        if size > 1 or along == "directions":
            named = "backward is zero everywhere" if factor == 0 else f"forward times {factor:.7g} everywhere"
            assert named in check.explanation

    @given(SEEDS, st.integers(2, 6), METHODS, WAYS)
    def test_a_missing_term(self, seed, channels, method, along):
        def backward(dy, cache):  # without the term of the variance
            _, rstd, weight = cache
            return rstd * (dy * weight - (dy * weight).mean(axis=-1, keepdims=True)), None, None

        def forward(x):
            return layer_norm_forward(x, np.ones(channels), np.zeros(channels))

        (check,) = failed(forward, backward, 2 * normal(seed, 3, channels), method=method, along=along)
        assert check.looks_like == "bug"
        assert "times" not in check.explanation

    @given(SEEDS, SIDES, st.integers(2, 5), METHODS, WAYS)
    def test_a_transposed_one(self, seed, rows, channels, method, along):
        inputs = [normal(seed, rows, channels), normal(seed + 1, channels, channels)]
        (check,) = failed(
            lambda x, w: (x @ w, (x, w)),
            lambda dy, cache: (dy @ cache[1].T, dy.T @ cache[0]),
            inputs,
            method=method,
            along=along,
        )
        assert (check.name, check.looks_like) == ("input 1", "bug")
        assert ("forward transposed" in check.explanation) == (along == "coordinates")

    @given(SEEDS, st.integers(-10, -3))
    def test_in_the_last_digits_of_the_complex_step(self, seed, exponent):
        wrong = 1 + 10.0**exponent
        (check,) = failed(np_sin, lambda dy, x: wrong * dy * np.cos(x), normal(seed, 5), method="complex")
        assert check.looks_like == "bug"

    def test_in_a_function_that_bends_sharply(self):
        def backward(dy, x):
            return 1.00001 * dy / np.cosh(x / 3e-4) ** 2 / 3e-4

        (check,) = failed(lambda x: (np.tanh(x / 3e-4), x), backward, 1e-4 * normal(0, 20))
        assert check.looks_like == "bug"

    def test_that_differences_do_not_resolve(self):
        def backward(dy, x):
            return 2 * dy * np.cos(x / 1e-6) / 1e-6

        (check,) = failed(lambda x: (np.sin(x / 1e-6), x), backward, 1e-6 * normal(0, 9), method="complex")
        assert check.looks_like == "bug"

    @given(SEEDS)
    def test_that_is_larger_than_the_rounding(self, seed):
        (check,) = failed(np_tanh32, lambda dy, x: 1.5 * dy / np.cosh(x) ** 2, normal(seed, 8))
        assert check.looks_like == "bug"

    @given(SEEDS)
    def test_beside_kinks(self, seed):
        x = some_zeros(seed, 6)
        assume((x > 0).any())
        (check,) = failed(np_relu, lambda dy, x: -dy * (x > 0), x)
        assert check.looks_like == "bug"

    @given(SEEDS, st.sampled_from([-0.5, 1.5, 2.0]))
    def test_at_a_kink_outside_its_slopes(self, seed, slope):
        (check,) = failed(np_relu, lambda dy, x: dy * np.where(x == 0, slope, x > 0), some_zeros(seed, 6))
        assert check.looks_like == "bug"

    def test_at_ties_where_the_last_digit_decides(self):
        def backward(dy, x):
            dx = np.zeros_like(x)
            np.put_along_axis(dx, x.argmax(axis=-1)[:, None], -dy[:, None], axis=-1)
            return dx

        (check,) = failed(lambda x: (x.max(axis=-1), x), backward, np.ones((1, 9)), seed=1)
        assert check.looks_like == "bug"

    def test_a_joint_direction_has_a_hint_how_to_find_the_tensor(self):
        (check,) = failed(np_sin, lambda dy, x: dy, normal(0, 5), along="joint")
        assert (check.name, check.looks_like) == ("all tensors", "bug")
        assert "along='directions' shows which tensor" in check.explanation

    def test_a_forward_pass_that_does_not_change(self):
        (check,) = failed(lambda x: (np.zeros(3), None), lambda dy, _: 100 * dy, normal(0, 3))
        assert check.looks_like == "bug"
        assert "the forward pass does not change" in check.explanation


class TestKinks:
    @given(SEEDS, SIDES, SIDES, WAYS, st.sampled_from([0.0, 1.0, 0.25]))
    def test_relu(self, seed, rows, columns, along, slope):
        x = some_zeros(seed, rows, columns)
        (check,) = failed(np_relu, lambda dy, x: dy * np.where(x == 0, slope, x > 0), x, along=along)
        assert check.looks_like == "kink"
        if along == "coordinates":
            assert check.differing == np.count_nonzero(x == 0)
            assert all(x[element.index] == 0 for element in check.elements)

    @given(SEEDS, SIDES, SIDES, WAYS)
    def test_abs_behind_a_matrix(self, seed, rows, columns, along):
        x, weight = some_zeros(seed, rows, columns), normal(seed + 1, columns, 3)
        (check,) = failed(lambda x: (np.abs(x) @ weight, x), lambda dy, x: dy @ weight.T * np.where(x >= 0, 1, -1), x)
        assert check.looks_like == "kink"

    @given(SEEDS)
    def test_several_that_nearly_cancel_in_a_direction(self, seed):
        signs = np.array([1.0, -1.0, 1.0])
        (check,) = failed(
            lambda x: (signs @ np.maximum(x, 0), None),
            lambda dy, _: 0 * dy * signs,
            np.zeros(3),
            along="directions",
            seed=seed,
        )
        assert check.looks_like == "kink"
        assert "along='coordinates'" in check.explanation

    def test_where_all_else_is_zero(self):
        (check,) = failed(lambda x: (np.abs(x), None), lambda dy, _: dy, np.zeros(1))
        assert check.looks_like == "kink"

    @given(SEEDS, SIDES, st.integers(2, 5), METHODS)
    def test_ties_of_a_max_pool(self, seed, rows, columns, method):
        def forward(x):
            first = x.argmax(axis=-1)[:, None]
            return np.take_along_axis(x, first, axis=-1), (x, first)

        def backward(dy, cache):
            x, first = cache
            dx = np.zeros_like(x)
            np.put_along_axis(dx, first, dy, axis=-1)
            return dx

        x = normal(seed, rows, columns)
        x[0, :2] = x.max() + 1
        (check,) = failed(forward, backward, x, method=method)
        assert check.looks_like == "kink"
        assert check.differing == (2 if method == "central" else 1)  # i·h at the second makes it the largest

    @given(SEEDS, st.floats(-1.2e-6, 1.2e-6))
    def test_nearer_than_the_shortest_step(self, seed, near):
        x = normal(seed, 5)
        x[2] = near
        report = npswin.gradcheck((np_relu, lambda dy, x: dy * (x > 0)), x, raise_on_failure=False)
        assert [check.looks_like for check in report.checks if not check.ok] in ([], ["kink"])

    def test_the_complex_step_has_the_slope_of_one_side(self):
        (check,) = failed(np_relu, lambda dy, x: dy * (x > 0), np.array([1.0, 0.0, -1.0]), method="complex")
        assert (check.looks_like, check.worst) == ("kink", (1,))
        assert re.search(r"the slope is -?0 to the left", check.explanation)

    @given(SEEDS)
    def test_jumps(self, seed):
        x = normal(seed, 6)
        x[0] = 0.5
        (check,) = failed(lambda x: (np.round(x), None), lambda dy, _: 0 * dy, x)
        assert (check.looks_like, check.worst) == ("jump", (0,))


class TestRounding:
    @given(SEEDS, st.integers(3, 6), WAYS)
    def test_float32_inside_and_the_advised_step_passes(self, seed, channels, along):
        x, weight = normal(seed, 3, channels), normal(seed + 1, channels, 5)

        def forward(x):
            return np.tanh((x @ weight).astype("float32")).astype(float), x

        def backward(dy, x):
            return dy / np.cosh(x @ weight) ** 2 @ weight.T

        (check,) = failed(forward, backward, x, along=along)
        assert check.looks_like == "rounding"
        step, tolerance = re.search(r"step=(\S+), tolerance=(\S+)", check.explanation).groups()
        advised = {"step": float(step), "tolerance": float(tolerance)}
        assert npswin.gradcheck((forward, backward), x, along=along, **advised).ok

    @given(SEEDS, st.floats(8, 10))
    def test_bad_scaling(self, seed, exponent):
        large = 10.0**exponent
        (check,) = failed(lambda x: (np.sin(x) + large - large, x), lambda dy, x: dy * np.cos(x), normal(seed, 4, 3))
        assert check.looks_like == "rounding"

    @given(SEEDS)
    def test_it_is_measured(self, seed):
        scale = normal(seed, 200)

        def forward(x):
            return np.tanh(x * scale).astype("float32").astype(float), None

        problem = ScalarLoss((forward, None), normal(seed + 1, 1), seed)
        _, evidence = central_difference(problem, {"input 0": np.ones(1)}, 2e-5, np.nan, 0.0)
        rounding = problem.y - np.tanh(problem.tensors["input 0"] * scale)
        assert 0.3 < evidence.noise / np.linalg.norm(problem.weights * rounding) < 3

    def test_float32_derivatives(self):
        (check,) = failed(np_sin, lambda dy, x: (dy * np.cos(x)).astype("float32"), normal(0, 5), method="complex")
        assert check.looks_like == "rounding"
        assert "not in float64" in check.explanation

    def test_nearly_equal_numbers_in_a_normalization(self):
        inputs = [1e6 + normal(0, 3, 5), np.ones(5), np.zeros(5)]
        checks = failed(ops.layer_norm_forward, ops.layer_norm_backward, inputs, method="complex")
        assert {check.looks_like for check in checks} == {"rounding"}
        assert "change in their last digits" in checks[0].explanation


class TestUnsuited:
    @given(SEEDS, WAYS)
    def test_a_forward_pass_that_is_not_analytic(self, seed, along):
        (check,) = failed(
            lambda x: (np.abs(x) ** 2, x), lambda dy, x: 2 * dy * x, normal(seed, 5), method="complex", along=along
        )
        assert check.looks_like == "not analytic"
        assert "method='central'" in check.explanation

    @given(SEEDS, st.floats(1e-6, 1e-5))
    def test_a_bend_sharper_than_the_steps(self, seed, width):
        def backward(dy, x):
            return dy * np.cos(x / width) / width

        (check,) = failed(lambda x: (np.sin(x / width), x), backward, width * normal(seed, 6))
        assert check.looks_like in ("unsettled", "jump")
        assert "shorter step" in check.explanation

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_numbers_that_are_not_finite(self, value):
        (check,) = failed(np_sin, lambda dy, x: value * np.abs(dy), normal(0, 3))
        assert check.looks_like == "not finite"
        assert "the backward pass" in check.explanation

    def test_an_edge_of_the_domain(self):
        def forward(x):
            with np.errstate(invalid="ignore"):
                return np.sqrt(x), x

        (check,) = failed(forward, lambda dy, x: dy / (2 * np.sqrt(x + 1e-300)), np.array([0.0, 1.0]))
        assert check.looks_like == "not finite"
        assert "the forward pass" in check.explanation


@pytest.mark.parametrize(("usual", "expected"), [("rounding", "rounding"), ("unsettled", "unsettled"), ("kink", "bug")])
def test_one_bug_among_many(usual, expected):
    """Rounding now and then passes for a bug; nothing else does."""
    assert summarize([usual] * 30 + ["bug"]) == expected


def test_the_worst_elements_are_listed():
    wrong = np.array([1, 1, 1.1, 1.3, 1, 1.2, 1.4])
    (check,) = failed(lambda x: (np.cumsum(x), None), lambda dy, _: wrong * np.cumsum(dy[::-1])[::-1], normal(0, 7))
    assert (check.differing, check.compared, len(check.elements)) == (4, 7, 3)
    differences = [abs(element.difference) for element in check.elements]
    assert differences == sorted(differences, reverse=True)
    assert all(wrong[element.index] > 1 and element.looks_like == "bug" for element in check.elements)
    text = "\n".join(check.lines(7))
    assert "4 of 7 differ" in text
    assert text.count(", forward ") == 3


def np_sin(x):
    return np.sin(x), x


def np_relu(x):
    return np.maximum(x, 0), x


def np_tanh32(x):
    return np.tanh(x.astype("float32")).astype(float), x
