"""`conv2d` on the CPU: cut into small pieces, where numbers are not finite, and its errors in float32."""

from contextlib import ExitStack
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npswin import ops
from npswin.backends import cpu
from npswin.backends.cpu.convolution import direct, winograd_map, winograd_weight
from npswin.backends.cpu.convolution.winograd import is_worthwhile
from tests.backends.comparison import arguments, call_op, expected, relative_errors
from tests.backends.cpu.settings import LIMIT, cpu_settings
from tests.backends.op_cases import draw_cases
from tests.ops.drawn import SEEDS
from tests.thorough import examples

# What only layers of hundreds of channels have several of, and maps of thousands of tokens.
SMALL_PIECES = [
    (direct, "_GROUP_TOKENS", 40),
    (direct, "_MOST_DEPTH", 30),
    (direct, "_BLOCK_BYTES", 1),
    (winograd_map, "_MOST_DEPTH", 40),
    (winograd_map, "_MOST_PATCHES", 8),
    (winograd_weight, "_CHUNK", 20),
]


@settings(max_examples=examples(40, 20))
@given(st.data(), st.integers(1, 3))
def test_a_convolution_in_small_pieces_equals_its_definition(data, threads):
    cases = draw_cases("conv2d", data.draw, True)
    wanted = expected("conv2d", cases, np.float32)
    with ExitStack() as stack:
        for module, name, value in SMALL_PIECES:
            stack.enter_context(mock.patch.object(module, name, value))
        stack.enter_context(cpu_settings(threads))
        results = call_op(cpu, "conv2d", arguments(cases[0].args, np.float32), {}, wanted.dy.astype(np.float32))
    assert max(relative_errors(results, wanted, np.float32)) < LIMIT


def drawn(seed, channels=20, side=12, batch=1):
    """x, weight and dy of a convolution that Winograd's algorithm computes."""
    rng = np.random.default_rng(seed)
    x, dy = (rng.standard_normal((batch, side, side, channels), np.float32) for _ in range(2))
    weight = rng.standard_normal((channels, channels, 3, 3), np.float32) / np.float32(3 * channels**0.5)
    assert is_worthwhile(x, weight, (side, side), 1)
    return x, weight, dy


def outcome(module, x, weight, dy):
    """y, dx and dweight."""
    y, cache = module.conv2d_forward(x, weight, padding=1)
    return [y, *module.conv2d_backward(dy, cache)[:2]]


@given(SEEDS, st.integers(0, 2), st.data())
def test_a_number_that_is_not_finite_reaches_what_it_reaches_in_the_definition(seed, which, data):
    arrays = drawn(seed)
    array = arrays[which].reshape(-1)
    array[data.draw(st.integers(0, array.size - 1))] = data.draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    with np.errstate(invalid="ignore"):
        for found, wanted in zip(outcome(cpu, *arrays), outcome(ops, *arrays), strict=True):
            np.testing.assert_array_equal(np.isfinite(found), np.isfinite(wanted))


@pytest.mark.parametrize("place", range(3), ids=["y", "dx", "dweight"])
def test_winograds_algorithm_has_no_larger_errors_than_the_sum_over_places(place, monkeypatch):
    arrays = drawn(0, channels=64, side=24)
    exact = outcome(ops, *(array.astype(np.float64) for array in arrays))[place]
    by_winograd = outcome(cpu, *arrays)[place]
    monkeypatch.setattr("npswin.backends.cpu.conv2d.is_worthwhile", lambda *_: False)
    directly = outcome(cpu, *arrays)[place]
    assert not np.array_equal(by_winograd, directly)
    assert np.square(by_winograd - exact).mean() <= np.square(directly - exact).mean()
