"""The choice of the backend, and the fallback to `npswin.ops`."""

import subprocess
import sys
import types

import numpy as np
import pytest

import npswin
from npswin import backends, ops
from npswin.backends import cpu
from npswin.devices import half_dtype


@pytest.fixture(autouse=True)
def backend_as_before():
    before = npswin.get_backend()
    yield
    npswin.set_backend(before)


def test_the_cpu_backend_is_the_default():
    assert npswin.get_backend() == "cpu"


def test_the_numpy_backend_is_the_definitions():
    npswin.set_backend("numpy")
    for op in ops.__all__:
        assert getattr(backends.dispatch, op) is getattr(ops, op)


def test_the_cpu_backend_runs_the_ops_that_it_implements():
    npswin.set_backend("cpu")
    missing = backends.missing_ops("cpu")
    for op in ops.__all__:
        if op in missing:
            assert getattr(backends.dispatch, op) is getattr(ops, op)
        else:
            assert getattr(backends.dispatch, op) is getattr(cpu, op) is not getattr(ops, op)
            assert op in cpu.__all__


def test_unknown_names_are_errors():
    with pytest.raises(ValueError, match="backend: got 'torch', expected one of 'numpy'"):
        npswin.set_backend("torch")
    with pytest.raises(AttributeError, match="no_such_op"):
        _ = backends.dispatch.no_such_op


def test_the_environment_variable_is_checked():
    result = subprocess.run(
        [sys.executable, "-c", "import npswin; npswin.get_backend()"],
        env={"NPSWIN_BACKEND": "typo"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "NPSWIN_BACKEND: got 'typo', expected one of 'numpy'" in result.stderr


@pytest.fixture
def partial_backend(monkeypatch):
    """A backend that implements one pair, `mlp`, with another result, and half of `linear`."""

    def mlp_forward(x, *weights, **masks):
        y, cache = ops.mlp_forward(x, *weights, **masks)
        return y + 100, ("partial", cache)

    def mlp_backward(dy, cache):
        assert cache[0] == "partial"
        return ops.mlp_backward(dy, cache[1])

    def linear_forward(*_):
        raise AssertionError("a forward pass without its backward pass")

    backend = types.SimpleNamespace(mlp_forward=mlp_forward, mlp_backward=mlp_backward, linear_forward=linear_forward)
    monkeypatch.setitem(backends.dispatcher._BACKENDS, "partial", backend)
    npswin.set_backend("partial")


@pytest.mark.usefixtures("partial_backend")
def test_layers_use_the_backend_that_is_set_and_fall_back_pair_by_pair():
    rng, x = np.random.default_rng(0), np.ones((2, 4))
    layer = npswin.layers.Mlp(4, 8, rng, dtype="float64")
    y, cache = layer.forward(x)
    dx = layer.backward(x, cache)
    npswin.set_backend("numpy")
    definition, cache = layer.forward(x)
    np.testing.assert_array_equal(y, definition + 100)
    np.testing.assert_array_equal(dx, layer.backward(x, cache))
    npswin.set_backend("partial")
    linear = npswin.layers.Linear(4, 3, rng, dtype="float64")
    y, cache = linear.forward(x)
    assert linear.backward(y, cache).shape == x.shape


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: backends.set_backend(None), "backend"),
        (lambda: backends.set_backend(np.array(["cpu", "numpy"])), "backend"),
        (lambda: backends.missing_ops("gpu"), "backend"),
        (lambda: backends.set_thread_count(0), "count"),
        (lambda: backends.set_thread_count(2.5), "count"),
        (lambda: backends.set_thread_count("2"), "count"),
        (lambda: backends.set_thread_count(10**30), "count"),
        (lambda: backends.allow_tf32("no"), "allowed"),
        (lambda: backends.allow_bfloat16(1), "allowed"),
        (lambda: backends.capture(None), "function"),
        (lambda: half_dtype("float64"), "name"),
        (lambda: half_dtype(None), "name"),
    ],
)
def test_errors_name_the_argument(call, name):
    settings = backends.get_backend(), backends.thread_count(), backends.allow_tf32(False)
    with pytest.raises(ValueError, match=f"^{name}: got "):
        call()
    assert settings == (backends.get_backend(), backends.thread_count(), backends.allow_tf32(settings[2]))


def test_a_numpy_integer_is_a_number_of_threads():
    before = backends.thread_count()
    backends.set_thread_count(np.int64(2))
    try:
        assert backends.thread_count() == 2
    finally:
        backends.set_thread_count(before)
