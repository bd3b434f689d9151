"""`resized_conv2d` where its channels are computed in parts, and where maps are enlarged."""

import numpy as np
import pytest

from npswin import ops
from npswin.backends import cpu
from npswin.backends.cpu import resized_conv2d


@pytest.mark.parametrize("side", [1, 3, 5])
@pytest.mark.parametrize(("size", "out_size"), [((3, 4), (12, 9)), ((1, 1), (6, 7)), ((6, 6), (16, 16))])
@pytest.mark.parametrize("part", [1, 1 << 25])  # bytes: a part of 16 channels, or all of them
def test_enlarged_maps_equal_the_definition(monkeypatch, side, size, out_size, part):
    monkeypatch.setattr(resized_conv2d, "_LARGEST_PART", part)
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal((2, *size, 3)), rng.standard_normal((37, 3, side, side))
    assert resized_conv2d._can_exchange(x, weight, out_size)
    y, cache = cpu.resized_conv2d_forward(x, weight, out_size)
    wanted, wanted_cache = ops.resized_conv2d_forward(x, weight, out_size)
    np.testing.assert_allclose(y, wanted, rtol=1e-11, atol=1e-11)
    dy = rng.standard_normal(y.shape)
    results = zip(cpu.resized_conv2d_backward(dy, cache), ops.resized_conv2d_backward(dy, wanted_cache), strict=True)
    for found, expected in results:
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11)
