"""`mlp` and `window_attention` on maps of so few tokens that threads share the rows of weights, not the tokens."""

from contextlib import contextmanager
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npswin import ops
from npswin.backends import cpu
from npswin.backends.cpu.fused import attention, attention_plan, mlp
from npswin.backends.cpu.tile import sizes
from npswin.ops.window_attention import AttentionSpec
from tests.backends.cpu.settings import cpu_settings
from tests.backends.op_cases import norm_parameters, weight_parameter
from tests.ops.drawn import SEEDS
from tests.thorough import examples


@contextmanager
def sharing_rows(module, wanted):
    """Make a module share the rows of weights or not; asserts afterwards that it did."""
    decide = mock.Mock(return_value=wanted)
    attention_plan.plan_attention.cache_clear()
    try:
        with (
            mock.patch.object(sizes, "splits_by_weight_rows", decide),
            mock.patch.object(mlp, "splits_by_weight_rows", decide),
            mock.patch.object(module, "project_single_tile", wraps=module.project_single_tile) as shared,
        ):
            yield
    finally:
        attention_plan.plan_attention.cache_clear()
    assert shared.called == wanted


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@settings(max_examples=examples(30))
@given(
    SEEDS,
    st.integers(1, 3),
    st.sampled_from([(1, 1, 1), (1, 4, 4), (2, 3, 5), (1, 7, 7), (3, 2, 2)]),
    st.sampled_from([(6, 3, 4), (3, 5, 1), (4, 8, 24)]),
    st.sampled_from([(2, 0), (4, 0), (4, 2), (7, 3)]),
    st.booleans(),
)
def test_mlp_and_window_attention_equal_the_definition_however_work_is_shared(
    dtype, seed, threads, shape, widths, windows, with_norm
):
    rng, (heads, dim, hidden), (window_size, shift_size) = np.random.default_rng(seed), widths, windows
    channels = heads * dim
    x = rng.standard_normal((*shape, channels))
    norm = norm_parameters(rng, channels) if with_norm else []
    bias = rng.standard_normal
    mlp_args = [
        *norm,
        weight_parameter(rng, hidden, channels),
        bias(hidden),
        weight_parameter(rng, channels, hidden),
        bias(channels),
    ]
    attention_args = [
        *norm,
        weight_parameter(rng, 3 * channels, channels),
        bias(3 * channels),
        weight_parameter(rng, channels, channels),
    ]
    attention_args += [bias(channels), rng.standard_normal(((2 * window_size - 1) ** 2, heads))]
    spec = AttentionSpec(heads, window_size, shift_size)
    names = ("mlp_branch", "attention_branch") if with_norm else ("mlp", "window_attention")
    for name, module, parameters, more in (
        (names[0], mlp, mlp_args, {}),
        (names[1], attention, attention_args, {"spec": spec}),
    ):
        exact = getattr(ops, f"{name}_forward")(x, *parameters, **more)[0]
        arrays = [array.astype(dtype) for array in (x, *parameters)]
        for wanted in (True, False):
            with cpu_settings(threads), sharing_rows(module, wanted):
                found = getattr(cpu, name)(*arrays, **more)
            np.testing.assert_allclose(found, exact, atol=200 * np.finfo(dtype).eps * np.abs(exact).max())
