"""The optimizers' ops, compared with the closed form of their recurrences."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npswin.ops.optimizer import adamw_update, ema_update, global_norm, sgd_update

shapes = st.sampled_from([(), (1,), (7,), (3, 5), (2, 3, 2, 2)])
rates = st.floats(1e-4, 0.5)


@given(
    shapes, rates, st.floats(0, 0.99), st.floats(0, 0.9999), st.floats(0, 0.5), st.integers(1, 6), st.integers(0, 99)
)
def test_adamw_update_is_the_ratio_of_weighted_means(shape, lr, beta1, beta2, weight_decay, steps, seed):
    rng = np.random.default_rng(seed)
    param = rng.normal(size=shape)
    grads = rng.normal(size=(steps, *shape))
    param = np.array(param)
    expected = param.copy()
    m, v = np.zeros_like(param), np.zeros_like(param)
    for t in range(1, steps + 1):
        # Weighted means over the history: with the bias corrections, the weights sum to 1.
        age = np.arange(t)[::-1].reshape(-1, *[1] * len(shape))
        mean = (beta1**age * grads[:t]).sum(axis=0) / (beta1**age).sum()
        square = (beta2**age * grads[:t] ** 2).sum(axis=0) / (beta2**age).sum()
        expected = expected * (1 - lr * weight_decay) - lr * mean / (np.sqrt(square) + 1e-8)
        adamw_update(param, grads[t - 1, ...], m, v, lr, beta1, beta2, 1e-8, weight_decay, t)
        np.testing.assert_allclose(param, expected, rtol=1e-9, atol=1e-12)


@given(shapes, rates, st.floats(0, 0.99), st.floats(0, 0.5), st.integers(1, 6), st.integers(0, 99))
def test_sgd_update_sums_the_discounted_gradients(shape, lr, momentum, weight_decay, steps, seed):
    rng = np.random.default_rng(seed)
    param = np.array(rng.normal(size=shape))
    expected, history = param.copy(), []
    velocity = np.zeros_like(param)
    for t in range(steps):
        grad = np.array(rng.normal(size=shape))
        history.append(grad + weight_decay * expected)
        expected = expected - lr * sum(momentum ** (t - i) * g for i, g in enumerate(history))
        sgd_update(param, grad, velocity, lr, momentum, weight_decay)
        np.testing.assert_allclose(param, expected, rtol=1e-9, atol=1e-12)


@given(shapes, st.floats(0, 1), st.integers(0, 99))
def test_ema_update_is_a_weighted_mean(shape, decay, seed):
    rng = np.random.default_rng(seed)
    average, param = np.array(rng.normal(size=shape)), np.array(rng.normal(size=shape))
    expected = decay * average + (1 - decay) * param
    ema_update(average, param, decay)
    np.testing.assert_allclose(average, expected, rtol=1e-12, atol=1e-12)


def test_adamw_update_sgd_update_and_ema_update_work_in_place_and_keep_the_dtype():
    rng = np.random.default_rng(0)
    param, grad, m, v = rng.random((4, 6, 5), dtype=np.float32)
    before = grad.copy()
    adamw_update(param, grad, m, v, 1e-3, 0.9, 0.999, 1e-8, 0.05, 3)
    sgd_update(param, grad, m, 1e-3, 0.9, 0.05)
    ema_update(v, param, 0.9)
    assert {array.dtype for array in (param, grad, m, v)} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(grad, before)


@given(st.lists(shapes, max_size=5), st.integers(0, 99))
def test_global_norm_is_the_norm_of_all_entries(array_shapes, seed):
    rng = np.random.default_rng(seed)
    arrays = [np.array(rng.normal(size=shape)) for shape in array_shapes]
    everything = np.concatenate([np.zeros(1), *(array.ravel() for array in arrays)])
    assert global_norm(arrays) == pytest.approx(np.sqrt((everything**2).sum()), rel=1e-12)


def test_global_norm_of_large_entries():
    assert global_norm([np.full(4, 1e30, np.float32)]) == pytest.approx(2e30)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_global_norm_is_not_finite_if_an_entry_is_not(bad):
    assert not math.isfinite(global_norm([np.ones(3), np.array([1.0, bad]), np.ones(2)]))
    assert math.isnan(global_norm([np.array([math.inf]), np.array([math.nan])]))
