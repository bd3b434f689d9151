"""Pooling and ReLU where they have kinks and borders, and by numbers taken from PyTorch."""

import numpy as np
import pytest

from npswin import ops
from tests.ops.drawn import normal

# torch.nn.functional.adaptive_avg_pool2d of unit vectors, torch 2.13.0.
BINS_FROM_TORCH = {
    (3, 5): [[1 / 2, 1 / 2, 0, 0, 0], [0, 1 / 3, 1 / 3, 1 / 3, 0], [0, 0, 0, 1 / 2, 1 / 2]],
    (2, 4): [[1 / 2, 1 / 2, 0, 0], [0, 0, 1 / 2, 1 / 2]],
    (4, 3): [[1, 0, 0], [1 / 2, 1 / 2, 0], [0, 1 / 2, 1 / 2], [0, 0, 1]],
}


@pytest.mark.parametrize("sizes", BINS_FROM_TORCH, ids=str)
@pytest.mark.parametrize("axis", [1, 2])
def test_bins_overlap_as_those_of_torch(sizes, axis):
    size_out, size_in = sizes
    units = np.moveaxis(np.eye(size_in)[None, :, None], 1, axis)
    pooled, _ = ops.adaptive_avg_pool2d_forward(units, (size_out, 1) if axis == 1 else (1, size_out))
    np.testing.assert_allclose(pooled.reshape(size_out, size_in), BINS_FROM_TORCH[sizes], rtol=1e-15)


def test_one_bin_is_the_mean_of_the_map():
    x = normal(0, 2, 5, 7, 3)
    pooled, _ = ops.adaptive_avg_pool2d_forward(x, (1, 1))
    np.testing.assert_allclose(pooled[:, 0, 0], ops.mean_pool_forward(x)[0], rtol=1e-13)


def test_the_first_of_equal_pixels_gets_the_derivative():
    x = np.zeros((1, 4, 4, 1))
    y, cache = ops.max_pool2d_forward(x, 2, 2)
    dx = ops.max_pool2d_backward(np.ones_like(y), cache)
    assert dx[0, :, :, 0].tolist() == [[1, 0, 1, 0], [0] * 4, [1, 0, 1, 0], [0] * 4]


def test_pixels_of_windows_that_overlap_get_the_sum():
    x = np.zeros((1, 3, 3, 1))
    x[0, 1, 1] = 1
    y, cache = ops.max_pool2d_forward(x, 2, 1)
    assert y.tolist() == np.ones((1, 2, 2, 1)).tolist()
    assert ops.max_pool2d_backward(y, cache)[0, 1, 1] == 4


def test_windows_at_the_border_end_there():
    y, _ = ops.max_pool2d_forward(np.arange(9.0).reshape(1, 3, 3, 1), 3, 1, 1)
    assert y[0, :, :, 0].tolist() == [[4, 5, 5], [7, 8, 8], [7, 8, 8]]


@pytest.mark.parametrize("value", [-5.0, -np.inf])
def test_padding_is_no_pixel(value):
    """A map of negative numbers has no zeros beyond its border, and the derivative stays on the map."""
    y, cache = ops.max_pool2d_forward(np.full((1, 3, 3, 1), value), 3, 2, 1)
    assert (y == value).all()
    assert ops.max_pool2d_backward(np.ones_like(y), cache).sum() == y.size


def test_nan_is_larger_than_any_number():
    x = np.array([1, np.nan, np.inf, 0]).reshape(1, 2, 2, 1)
    assert np.isnan(ops.max_pool2d_forward(x, 2, 1)[0]).all()
    y, cache = ops.relu_forward(x)
    np.testing.assert_array_equal(y, x)
    assert ops.relu_backward(np.ones_like(y), cache).reshape(-1).tolist() == [1, 1, 1, 0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((3, 1, 2), "padding: got 2, expected at most half of kernel_size, 1"),
        ((6, 1, 1), "kernel_size: got 6, expected at most 5, the shorter side of x with its padding"),
    ],
)
def test_windows_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ops.max_pool2d_forward(np.ones((1, 4, 3, 1)), *arguments)
