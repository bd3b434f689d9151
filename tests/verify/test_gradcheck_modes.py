"""gradcheck's methods and directions: correct layers pass, wrong ones fail, and the number of calls is small."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import npswin
from npswin import ops
from npswin.verify import GradcheckError
from tests.ops.drawn import SEEDS, SIDES, normal

METHODS = st.sampled_from(["central", "complex"])
WAYS = st.sampled_from([None, "coordinates", "directions", "joint"])


class Swish:
    """A layer y = x σ(bx) that counts its forward passes; `wrong` is a factor of db."""

    def __init__(self, channels, wrong=1.0):
        self.params = {"b": np.linspace(0.5, 1.5, channels)}
        self.grads = {"b": np.zeros(channels)}
        self.wrong = wrong
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        s = 1 / (1 + np.exp(-self.params["b"] * x))
        return x * s, (x, s)

    def backward(self, dy, cache):
        x, s = cache
        slope = s * (1 - s)
        self.grads["b"] += self.wrong * (dy * x * x * slope).sum(axis=0)
        return dy * (s + self.params["b"] * x * slope)


@given(SEEDS, SIDES, SIDES, METHODS, WAYS, st.integers(1, 4))
def test_a_right_layer_passes_in_each_mode(seed, rows, columns, method, along, directions):
    layer, x = Swish(columns), normal(seed, rows, columns)
    report = npswin.gradcheck(layer, x, method=method, along=along, directions=directions, seed=seed)
    assert report.ok
    assert all(not check.looks_like and not check.differing for check in report.checks)
    np.testing.assert_array_equal(layer.params["b"], np.linspace(0.5, 1.5, columns))


@given(SEEDS, SIDES, METHODS, WAYS, st.sampled_from([-1.0, 0.0, 0.9, 2.0]))
def test_a_wrong_layer_fails_in_each_mode(seed, columns, method, along, wrong):
    with pytest.raises(GradcheckError, match="looks like a bug"):
        npswin.gradcheck(Swish(columns, wrong), normal(seed, 5, columns), method=method, along=along, directions=3)


@given(SEEDS, st.integers(1, 5), METHODS, st.sampled_from(["directions", "joint"]))
def test_a_slow_layer_is_called_a_handful_of_times(seed, directions, method, along):
    layer = Swish(50)
    npswin.gradcheck(layer, normal(seed, 40, 50), method=method, along=along, directions=directions)
    tensors = 1 if along == "joint" else 2
    assert layer.calls == 1 + tensors * directions * (4 if method == "central" else 1)


@pytest.mark.parametrize(("method", "most"), [("central", 1 + 12 + 1), ("complex", 1 + 1 + 12 + 1)])
def test_and_a_wrong_one_some_times_more(method, most):
    layer = Swish(50, wrong=2.0)
    report = npswin.gradcheck(
        layer, normal(0, 40, 50), method=method, along="joint", directions=1, raise_on_failure=False
    )
    assert not report.ok
    assert layer.calls <= most


def test_complex_steps_are_explained_at_the_listed_elements_only():
    layer = Swish(9, wrong=2.0)
    assert not npswin.gradcheck(layer, normal(0, 4, 9), method="complex", raise_on_failure=False).ok
    assert layer.calls == 1 + (36 + 9) + 3 * 12 + 1


def test_steps_grow_with_the_numbers():
    pair = (lambda x: (x - 1e8, None), lambda dy, _: dy)
    assert npswin.gradcheck(pair, 1e8 + normal(0, 5)).ok


def test_coordinates_find_one_wrong_number_in_a_large_tensor():
    def backward(dy, _):
        dx = 3 * dy
        dx[7, 5] *= 2
        return dx

    pair = (lambda x: (3 * x, None), backward)
    report = npswin.gradcheck(pair, normal(0, 9, 8), along="coordinates", max_coordinates=1, raise_on_failure=False)
    check = report.checks[0]
    assert (check.worst, check.differing, check.compared) == ((7, 5), 1, 72)


def test_weights_are_independent_of_the_usual_inputs():
    """With r equal to x, xᵀr is symmetric, and its transpose would pass."""
    shape = 5, 5
    x, weight = np.random.default_rng(0).standard_normal(shape), np.eye(5)
    transposed = (lambda x, w: (x @ w, (x, w)), lambda dy, cache: (dy @ cache[1].T, dy.T @ cache[0]))
    with pytest.raises(GradcheckError, match="backward is forward transposed"):
        npswin.gradcheck(transposed, [x, weight])


def test_a_rounded_forward_pass_needs_a_longer_step():
    pair = (lambda x: (np.tanh(x.astype("float32")).astype(float), x), lambda dy, x: dy / np.cosh(x) ** 2)
    assert not npswin.gradcheck(pair, normal(0, 9), raise_on_failure=False).ok
    assert npswin.gradcheck(pair, normal(0, 9), step=2e-2, tolerance=1e-4).ok


def test_parameters_are_the_same_arrays_after_an_error_in_a_complex_step():
    class Fragile(Swish):
        def forward(self, x):
            if np.iscomplexobj(x):
                raise RuntimeError("out of order")
            return super().forward(x)

    layer = Fragile(3)
    before = layer.params["b"]
    with pytest.raises(RuntimeError, match="out of order"):
        npswin.gradcheck(layer, normal(0, 4, 3), method="complex")
    assert layer.params["b"] is before


def test_a_layer_that_does_not_read_params_is_not_analytic():
    class Elsewhere(Swish):
        def __init__(self):
            super().__init__(3)
            self.b = self.params["b"]

        def forward(self, x):
            s = 1 / (1 + np.exp(-self.b * x))
            return x * s, (x, s)

    assert npswin.gradcheck(Elsewhere(), normal(0, 4, 3)).ok
    report = npswin.gradcheck(Elsewhere(), normal(0, 4, 3), method="complex", raise_on_failure=False)
    assert [(check.name, check.looks_like) for check in report.checks if not check.ok] == [("b", "not analytic")]


def test_an_empty_input_is_no_failure():
    pair = (lambda x, z: (x, None), lambda dy, _: (dy, np.zeros((0, 2))))
    assert npswin.gradcheck(pair, [normal(0, 3), np.zeros((0, 2))]).ok


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"along": "rows"}, "along: got 'rows', expected one of None, 'coordinates', 'directions', 'joint'"),
        ({"tolerance": np.inf}, r"tolerance: got inf, expected a number in \[0, 1\)"),
        ({"tolerance": np.nan}, r"tolerance: got nan, expected a number in \[0, 1\)"),
        ({"tolerance": "1"}, "tolerance: got '1'"),
        ({"max_coordinates": 1.5}, "max_coordinates: got 1.5"),
        ({"directions": True}, "directions: got True"),
        ({"seed": -1}, "seed: got -1"),
        ({"raise_on_failure": None}, "raise_on_failure: got None"),
        ({"method": None}, "method: got None"),
        ({"directions": 0}, "directions: got 0, expected an integer of at least 1"),
        ({"step": 0.0}, "step: got 0.0, expected a number in"),
        ({"step": np.inf}, "step: got inf, expected a number in"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        npswin.gradcheck((ops.gelu_forward, ops.gelu_backward), normal(0, 3), **arguments)
