"""Branches on maps of so few tokens that threads share rows of weights rather than tokens."""

from contextlib import contextmanager
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npswin import ops
from npswin.backends import cpu
from npswin.backends.cpu.fused import attention as attention_kernels
from npswin.backends.cpu.fused import attention_plan
from npswin.backends.cpu.fused import mlp as mlp_kernels
from npswin.backends.cpu.tile import sizes as tiles
from tests.backends.comparison import machine
from tests.backends.op_cases import _norm, _weight
from tests.ops.drawn import SEEDS


@contextmanager
def sharing_rows(module, wanted):
    """Whether a module's branch is to share rows of weights; afterwards it must have been so."""
    decide = mock.Mock(return_value=wanted)
    attention_plan.plan_attention.cache_clear()
    try:
        with (
            mock.patch.object(tiles, "few_tokens", decide),
            mock.patch.object(mlp_kernels, "few_tokens", decide),
            mock.patch.object(module, "project_windows", wraps=module.project_windows) as shared,
        ):
            yield
    finally:
        attention_plan.plan_attention.cache_clear()
    assert shared.called == wanted


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(max_examples=30)
@given(
    SEEDS,
    st.integers(1, 3),
    st.sampled_from([(1, 1, 1), (1, 4, 4), (2, 3, 5), (1, 7, 7), (3, 2, 2)]),
    st.sampled_from([(6, 3, 4), (3, 5, 1), (4, 8, 24)]),
    st.sampled_from([(2, 0), (4, 0), (4, 2), (7, 3)]),
    st.booleans(),
)
def test_either_way_of_sharing_gives_the_definition(dtype, seed, threads, shape, widths, windows, with_norm):
    rng, (heads, dim, hidden), (window_size, shift) = np.random.default_rng(seed), widths, windows
    channels = heads * dim
    x = rng.standard_normal((*shape, channels))
    norm = _norm(rng, channels) if with_norm else []
    bias = rng.standard_normal
    mlp = [*norm, _weight(rng, hidden, channels), bias(hidden), _weight(rng, channels, hidden), bias(channels)]
    attention = [*norm, _weight(rng, 3 * channels, channels), bias(3 * channels), _weight(rng, channels, channels)]
    attention += [bias(channels), rng.standard_normal(((2 * window_size - 1) ** 2, heads))]
    geometry = {"num_heads": heads, "window_size": window_size, "shift": shift}
    names = ("mlp_branch", "attention_branch") if with_norm else ("mlp", "window_attention")
    for name, module, parameters, more in (
        (names[0], mlp_kernels, mlp, {}),
        (names[1], attention_kernels, attention, geometry),
    ):
        exact = getattr(ops, f"{name}_forward")(x, *parameters, **more)[0]
        arrays = [array.astype(dtype) for array in (x, *parameters)]
        for wanted in (True, False):
            with machine(threads), sharing_rows(module, wanted):
                found = getattr(cpu, name)(*arrays, **more)
            np.testing.assert_allclose(found, exact, atol=200 * np.finfo(dtype).eps * np.abs(exact).max())
