"""The backend's exponential, logarithm, normal distribution and GELU's derivative, compared with SciPy in float64."""

import numba
import numpy as np
import pytest
from scipy.special import ndtr

from npswin.backends.cpu.machine.compilation import OPTIONS
from npswin.backends.cpu.simd.elementary_functions import exp, log_one_plus, normal_cdf, normal_cdf_and_gelu_derivative

DTYPES = [np.float32, np.float64]
ALL = np.arange(-12, 12, 2.0**-16)

both_dtypes = pytest.mark.parametrize("dtype", DTYPES)


@numba.njit(**OPTIONS)
def _all(x, exponential, cdf, slope_cdf, slope):
    for i in range(x.size):
        exponential[i] = exp(x[i])
        cdf[i] = normal_cdf(x[i])
        slope_cdf[i], slope[i] = normal_cdf_and_gelu_derivative(x[i])


def computed(x, dtype):
    """exp, Φ, Φ again and the derivative of x Φ(x), as kernels compute them, and x rounded to the dtype."""
    x = np.asarray(x, dtype)
    results = np.empty((4, x.size), dtype)
    _all(x, *results)
    return *results, x.astype(np.float64)


def half_units(dtype):
    """The largest error of a number between ½ and 1 when it is rounded."""
    return np.finfo(dtype).eps / 2


def exact_slope(x):
    return ndtr(x) + x * np.exp(-0.5 * x * x) / np.sqrt(2 * np.pi)


@both_dtypes
@pytest.mark.parametrize("grid", [np.arange(-86.5, 88, 2.0**-12), np.arange(-1, 1, 2.0**-18)], ids=["all", "near 0"])
def test_exp_has_a_relative_error_of_one_or_two_roundings(dtype, grid):
    y, _, _, _, x = computed(grid, dtype)
    assert np.abs(y / np.exp(x) - 1).max() < 2.5 * half_units(dtype)


def test_exp_is_zero_below_the_smallest_normal_number_and_one_at_zero():
    y = computed([0.0, -87.0, -87.1, -104, -1e30, -np.inf], np.float32)[0]
    assert y[1] > np.finfo(np.float32).tiny
    np.testing.assert_array_equal(y[[0, 2, 3, 4, 5]], [1, 0, 0, 0, 0])


@both_dtypes
def test_normal_distribution_has_an_absolute_error_of_a_few_roundings(dtype):
    _, cdf, slope_cdf, _, x = computed(ALL, dtype)
    assert np.abs(cdf - ndtr(x)).max() < 5 * half_units(dtype)
    assert np.abs(slope_cdf - ndtr(x)).max() < 5 * half_units(dtype)


@both_dtypes
def test_gelu_slope_has_an_absolute_error_of_a_few_roundings(dtype):
    _, _, _, slope, x = computed(ALL, dtype)
    assert np.abs(slope - exact_slope(x)).max() < 5 * half_units(dtype)


@both_dtypes
def test_far_from_zero_results_are_exactly_zero_and_one(dtype):
    x = np.array([40.0, 1e3, 1e30])
    for place in (1, 2, 3):
        np.testing.assert_array_equal(computed(-x, dtype)[place], 0)
        np.testing.assert_array_equal(computed(x, dtype)[place], 1)


@both_dtypes
def test_nan_stays_nan(dtype):
    for result in computed([np.nan] * 33, dtype):
        assert np.isnan(result).all()


@numba.njit(**OPTIONS)
def _all_logarithms(x, y):
    for i in range(x.size):
        y[i] = log_one_plus(x[i])


@both_dtypes
@pytest.mark.parametrize("grid", [np.arange(0, 1 + 2.0**-18, 2.0**-18), np.exp(np.arange(-87, 0, 2.0**-10))])
def test_log_one_plus_has_a_relative_error_of_a_few_roundings(dtype, grid):
    x = grid.astype(dtype)
    y = np.empty_like(x)
    _all_logarithms(x, y)
    wanted = np.log1p(x.astype(np.float64))
    assert (np.abs(y - wanted) <= 5 * half_units(dtype) * wanted).all()
