"""`conv2d` and `conv_transpose2d` compared with sums that are written out, and with PyTorch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npswin import ops
from tests.ops.drawn import SEEDS, SIDES, conv2d_cases, normal


def each_entry(x, weight, bias, stride, padding):
    """A convolution, one entry of one image after another."""
    *_, rows, columns = weight.shape
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    size = [(side - k) // stride + 1 for side, k in zip(x.shape[1:3], (rows, columns), strict=True)]
    y = np.empty((len(x), *size, len(weight)))
    for b, h, w, o in np.ndindex(*y.shape):
        window = x[b, stride * h : stride * h + rows, stride * w : stride * w + columns]
        y[b, h, w, o] = (window * weight[o].transpose(1, 2, 0)).sum() + (0 if bias is None else bias[o])
    return y


@given(conv2d_cases())
def test_conv2d_equals_its_sums(case):
    arrays, arguments = case
    y, _ = ops.conv2d_forward(*arrays, **arguments)
    np.testing.assert_allclose(y, each_entry(*arrays, **arguments), rtol=0, atol=1e-13)


@given(conv2d_cases())
def test_conv2d_equals_torch(case):
    torch = pytest.importorskip("torch")
    (x, *parameters), arguments = case
    tensors = [None if array is None else torch.from_numpy(array) for array in parameters]
    wanted = torch.nn.functional.conv2d(torch.from_numpy(x).permute(0, 3, 1, 2), *tensors, **arguments)
    y, _ = ops.conv2d_forward(x, *parameters, **arguments)
    np.testing.assert_allclose(y, wanted.permute(0, 2, 3, 1).numpy(), rtol=0, atol=1e-13)


@given(SEEDS, SIDES, SIDES, SIDES, SIDES, st.integers(1, 3))
def test_conv_transpose2d_is_the_transpose_of_a_convolution(seed, height, width, inputs, outputs, side):
    """⟨y, z⟩ of y = conv_transpose2d(x, W) equals ⟨x, conv2d(z, W)⟩, whose stride is its kernel's side."""
    x, weight = normal(seed, 2, height, width, inputs), normal(seed, inputs, outputs, side, side)
    z = normal(seed, 2, side * height, side * width, outputs)
    y, _ = ops.conv_transpose2d_forward(x, weight)
    patches = z.reshape(2, height, side, width, side, outputs)
    convolved = np.einsum("bhiwjo,coij->bhwc", patches, weight)
    np.testing.assert_allclose((y * z).sum(), (x * convolved).sum(), rtol=1e-12, atol=1e-12)


@given(SEEDS, SIDES, SIDES, SIDES, SIDES, st.integers(1, 3))
def test_conv_transpose2d_equals_torch(seed, height, width, inputs, outputs, side):
    torch = pytest.importorskip("torch")
    x, weight = normal(seed, 2, height, width, inputs), normal(seed, inputs, outputs, side, side)
    bias = normal(seed, outputs)
    arrays = [torch.from_numpy(array) for array in (np.moveaxis(x, -1, 1).copy(), weight, bias)]
    wanted = torch.nn.functional.conv_transpose2d(*arrays, stride=side)
    y, _ = ops.conv_transpose2d_forward(x, weight, bias)
    np.testing.assert_allclose(y, wanted.permute(0, 2, 3, 1).numpy(), rtol=0, atol=1e-13)


@pytest.mark.parametrize("kernel", [(2, 3), (3, 4), (7, 3), (3, 9)])
def test_kernels_of_even_sides_and_beyond_the_padded_map_are_refused(kernel):
    with pytest.raises(ValueError, match=r"^weight: got shape .*, expected a kernel with"):
        ops.conv2d_forward(np.ones((1, 3, 5, 2)), np.ones((4, 2, *kernel)), padding=1)
