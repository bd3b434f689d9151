"""Each op of the "cuda" backend beside its definition in `npswin.ops`, on drawn arguments.

On a GPU where there is one; else the kernels' own sources run on the CPU, see `fake_cupy`.
"""

from unittest import mock

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npswin import backends, ops
from npswin.backends.cuda import window_attention
from npswin.backends.cuda.runtime import matrix_product as product
from npswin.devices import to_gpu, to_host
from tests.backends.comparison import arguments, called, expected, relative_errors, rounded
from tests.backends.op_cases import DRAWING, OPS, UPDATES, drawn

LIMIT = 3  # times the error to be expected
COMPARED = sorted(set(OPS) - DRAWING)
MIXED = sorted(set(OPS) - DRAWING - UPDATES - {"global_norm", "position_bias"})  # that take maps


def on_device(value):
    """An argument with its arrays on the GPU."""
    if isinstance(value, np.ndarray):
        return to_gpu(value)
    if isinstance(value, list):
        return [on_device(item) for item in value]
    return {name: on_device(item) for name, item in value.items()} if isinstance(value, dict) else value


class Implementation:
    """The ops as layers hear it: op_names that the backend lacks are the definitions."""

    def __init__(self, backend):
        self.backend = backend

    def __getattr__(self, op):
        return getattr(backends.dispatcher._implementing(op, self.backend), op)


def results_of(cuda, op, args, kwargs, dy):
    """What the backend returns, as NumPy arrays."""
    results = called(Implementation(cuda), op, on_device(args), on_device(kwargs), None if dy is None else to_gpu(dy))
    return [None if result is None else to_host(result) for result in results]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("op", COMPARED)
@settings(max_examples=10)
@given(st.data(), st.booleans())
def test_an_op_equals_its_definition(cuda, op, dtype, data, large):
    cases = drawn(op, data.draw, large)
    wanted = expected(op, cases, dtype)
    args, kwargs = (arguments(value, dtype) for value in (cases[0].args, cases[0].kwargs))
    results = results_of(cuda, op, args, kwargs, None if wanted.dy is None else wanted.dy.astype(dtype))
    assert max(relative_errors(results, wanted, dtype)) < LIMIT


def maps_in(op, dtype, args, kwargs):
    """The arguments with maps and masks in the dtype and parameters in float32."""
    parameters = arguments(args[1:], dtype if op in ("dropout", "residual") else np.float32)
    return [args[0].astype(dtype), *parameters], arguments(kwargs, dtype)


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float16])
@pytest.mark.parametrize("op", MIXED)
@settings(max_examples=5)
@given(st.data(), st.booleans())
def test_maps_may_have_16_bits_and_parameters_32(cuda, op, dtype, data, large):
    cases = drawn(op, data.draw, large)
    wanted = expected(op, cases, dtype)
    args, kwargs = maps_in(op, dtype, *(rounded(value, dtype) for value in (cases[0].args, cases[0].kwargs)))
    results = results_of(cuda, op, args, kwargs, None if wanted.dy is None else wanted.dy.astype(dtype))
    for place, result in enumerate(results):
        assert result is None or result.dtype in (dtype, np.float32), place
    results = [None if result is None else result.astype(np.float64) for result in results]
    assert max(relative_errors(results, wanted, np.float64)) < LIMIT


# Windows and heads of which tensor cores take 16, 64 or 144 tokens and 32 channels, and some that they do not take.
SIZES = [(4, 32, 16), (3, 7, 16), (7, 32, 64), (8, 24, 64), (12, 32, 144), (10, 32, 144), (7, 40, 0), (13, 16, 0)]


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float16, np.float32])
@pytest.mark.parametrize(("side", "dim", "filled"), SIZES)
def test_attention_on_tensor_cores(cuda, monkeypatch, side, dim, filled, dtype):
    monkeypatch.setattr(product, "tf32_allowed", True)
    rng, heads, channels, shift = np.random.default_rng(side), 2, 6, side // 2

    def drawn(*shape):
        return rng.standard_normal(shape).astype(dtype).astype(np.float64)

    inside = heads * dim
    x, dy = (drawn(2, side + 1, 2 * side - 1, channels) for _ in range(2))
    weights = [
        drawn(3 * inside, channels) / 2,
        drawn(3 * inside),
        drawn(channels, inside) / 8,
        drawn(channels),
        drawn((2 * side - 1) ** 2, heads),
    ]
    geometry = {"num_heads": heads, "window_size": side, "shift": shift}
    y, cache = ops.window_attention_forward(x, *weights, **geometry)
    wanted = [y, *ops.window_attention_backward(dy, cache)]
    names = []
    launched = window_attention.launch

    def recorded(file, name, *args, **kwargs):
        names.append(name)
        launched(file, name, *args, **kwargs)

    with mock.patch.object(window_attention, "launch", recorded):
        given = [to_gpu(x.astype(dtype)), *(to_gpu(weight.astype(np.float32)) for weight in weights)]
        y, cache = cuda.window_attention_forward(*given, **geometry)
        found = [y, *cuda.window_attention_backward(to_gpu(dy.astype(dtype)), cache)]
    assert (f"attention_forward_{filled}" in names) == (f"attention_backward_{filled}" in names) == bool(filled)
    for place, (exact, result) in enumerate(zip(wanted, found, strict=True)):
        error = np.linalg.norm(to_host(result).astype(np.float64) - exact) / np.linalg.norm(exact)
        assert error < (1e-2 if dtype == ml_dtypes.bfloat16 else 2e-3), place
