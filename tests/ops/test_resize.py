"""Resizing compared with PyTorch and with numbers taken from it; the backward pass is the transpose."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npswin.ops.resize import (
    bicubic_matrix,
    bilinear_pixels,
    resize_bicubic_backward,
    resize_bicubic_forward,
    resize_bilinear_forward,
    resize_nearest_forward,
)
from tests.ops.drawn import SEEDS, SIDES, normal

# torch.nn.functional.interpolate(mode="bicubic", align_corners=False) of unit vectors, torch 2.13.0, float64.
FROM_TORCH = {
    (5, 3): [[1.096, -0.096, 0], [0.612, 0.46, -0.072], [0, 1, 0], [-0.072, 0.46, 0.612], [0, -0.096, 1.096]],
    (2, 4): [[0.5, 0.59375, -0.09375, 0], [0, -0.09375, 0.59375, 0.5]],
    (3, 2): [[1.0868055555555556, -0.08680555555555536], [0.5, 0.5], [-0.08680555555555536, 1.0868055555555556]],
}
SQUARES_2_5 = [  # of the map whose rows are 0 1 4 9, 16 25 36 49, 64 81 100 121, at 2×5
    [1.7837265625, 3.2629609375, 6.359375, 11.3217890625, 15.9280234375],
    [52.7477734375, 62.9145390625, 77.515625, 93.9827109375, 107.2764765625],
]


@pytest.mark.parametrize("sizes", FROM_TORCH, ids=str)
def test_bicubic_matrix_equals_torch(sizes):
    np.testing.assert_allclose(bicubic_matrix(*sizes), FROM_TORCH[sizes], rtol=0, atol=1e-14)


def test_resize_bicubic_equals_numbers_from_torch():
    squares = np.arange(12.0).reshape(3, 4, 1) ** 2
    resized, _ = resize_bicubic_forward(squares, (2, 5))
    np.testing.assert_allclose(resized[..., 0], SQUARES_2_5, rtol=1e-14)


@given(SEEDS, SIDES, SIDES, st.integers(1, 17), st.integers(1, 17), st.sampled_from(["float32", "float64"]))
def test_resize_bicubic_equals_torch(seed, height, width, rows, columns, dtype):
    torch = pytest.importorskip("torch")
    x = normal(seed, 2, height, width, 3).astype(dtype)
    wanted = torch.nn.functional.interpolate(
        torch.from_numpy(x).permute(0, 3, 1, 2), (rows, columns), mode="bicubic", align_corners=False
    )
    resized, _ = resize_bicubic_forward(x, (rows, columns))
    # torch computes positions in the tensor's precision, so its float32 error is larger than a rounding
    np.testing.assert_allclose(
        resized, wanted.permute(0, 2, 3, 1).numpy(), rtol=0, atol={"float32": 2e-5, "float64": 1e-13}[dtype]
    )


@given(st.integers(1, 40), st.integers(1, 40))
def test_rows_of_the_bicubic_matrix_sum_to_one(size_out, size_in):
    np.testing.assert_allclose(bicubic_matrix(size_out, size_in).sum(axis=1), 1, atol=1e-14)


@given(st.integers(1, 40), st.integers(1, 40))
def test_the_bicubic_matrix_is_mirror_symmetric(size_out, size_in):
    matrix = bicubic_matrix(size_out, size_in)
    np.testing.assert_allclose(matrix[::-1, ::-1], matrix, atol=1e-12)


def test_resize_bicubic_to_the_same_size_changes_nothing():
    x = normal(0, 1, 5, 7, 2)
    np.testing.assert_array_equal(resize_bicubic_forward(x, (5, 7))[0], x)


@given(SEEDS, st.lists(SIDES, max_size=2), SIDES, SIDES, SIDES, SIDES)
def test_resize_bicubic_backward_is_the_transpose(seed, lead, height, width, rows, columns):
    x, dy = normal(seed, *lead, height, width, 2), normal(seed + 1, *lead, rows, columns, 2)
    y, cache = resize_bicubic_forward(x, (rows, columns))
    dx = resize_bicubic_backward(dy, cache)
    assert dx.shape == x.shape
    np.testing.assert_allclose(np.vdot(y, dy), np.vdot(x, dx), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
def test_resize_bicubic_keeps_the_dtype(dtype):
    y, cache = resize_bicubic_forward(np.ones((2, 3, 4, 1), dtype), (5, 2))
    assert y.dtype == dtype
    assert resize_bicubic_backward(y, cache).dtype == dtype


@pytest.mark.parametrize("size", [(0, 3), (3, 0), (-1, 3)])
def test_resize_bicubic_refuses_sizes_below_one(size):
    with pytest.raises(ValueError, match="size_out, size_in: got"):
        resize_bicubic_forward(np.ones((3, 3, 1)), size)
    with pytest.raises(ValueError, match="size_out, size_in: got"):
        bicubic_matrix(*size)


# The same for mode="bilinear" and mode="nearest".
BILINEAR_FROM_TORCH = {
    (5, 3): [[1, 0, 0], [0.6, 0.4, 0], [0, 1, 0], [0, 0.4, 0.6], [0, 0, 1]],
    (2, 4): [[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]],
    (3, 2): [[1, 0], [0.5, 0.5], [0, 1]],
    (2, 5): [[0.25, 0.75, 0, 0, 0], [0, 0, 0, 0.75, 0.25]],
}
NEAREST_FROM_TORCH = {(5, 3): [0, 0, 1, 1, 2], (2, 4): [0, 2], (3, 2): [0, 0, 1], (2, 5): [0, 2]}


@pytest.mark.parametrize("sizes", BILINEAR_FROM_TORCH, ids=str)
@pytest.mark.parametrize("axis", [0, 1])
def test_resize_bilinear_equals_numbers_from_torch(sizes, axis):
    size_out, size_in = sizes
    units = np.moveaxis(np.eye(size_in)[:, None], 0, axis)  # a map of one pixel along the other axis
    resized, _ = resize_bilinear_forward(units, (size_out, 1) if axis == 0 else (1, size_out))
    np.testing.assert_allclose(resized.reshape(size_out, size_in), BILINEAR_FROM_TORCH[sizes], rtol=0, atol=1e-15)


@pytest.mark.parametrize("sizes", NEAREST_FROM_TORCH, ids=str)
@pytest.mark.parametrize("axis", [0, 1])
def test_resize_nearest_equals_numbers_from_torch(sizes, axis):
    size_out, size_in = sizes
    numbers = np.moveaxis(np.arange(size_in)[:, None, None], 0, axis).astype(float)
    resized, _ = resize_nearest_forward(numbers, (size_out, 1) if axis == 0 else (1, size_out))
    np.testing.assert_array_equal(resized.reshape(-1), NEAREST_FROM_TORCH[sizes])


@given(st.integers(1, 40), st.integers(1, 40))
def test_weights_of_bilinear_resampling_sum_to_one_and_pixels_are_in_order(size_out, size_in):
    pixel, weight = bilinear_pixels(size_out, size_in)
    np.testing.assert_allclose(weight.sum(axis=1), 1, atol=1e-15)
    assert (weight >= 0).all()
    assert 0 <= pixel.min() <= pixel.max() < size_in
    assert (np.diff(pixel, axis=0) >= 0).all()


@pytest.mark.parametrize("forward", [resize_bilinear_forward, resize_nearest_forward])
def test_resampling_to_the_same_size_changes_nothing(forward):
    x = normal(0, 1, 5, 7, 2)
    np.testing.assert_array_equal(forward(x, (5, 7))[0], x)
