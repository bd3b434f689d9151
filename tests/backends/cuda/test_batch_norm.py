"""A layer with buffers on a GPU, or on `fake_cupy`: they move with it, and are updated there."""

import numpy as np
import pytest

import npswin
from npswin.devices import on_gpu, to_gpu, to_host
from npswin.layers import BatchNorm2d
from tests.ops.drawn import normal


@pytest.mark.parametrize("frozen", [False, True])
def test_a_layer_on_a_gpu_trains_as_on_the_cpu(cuda, frozen):
    host, device = BatchNorm2d(3, "float64", frozen), BatchNorm2d(3, "float64", frozen).to("cuda")
    for seed in range(2):
        x, dy = 2 + normal(seed, 2, 5, 4, 3), normal(seed + 9, 2, 5, 4, 3)
        (wanted, cache), (found, device_cache) = host.forward(x), device.forward(to_gpu(x))
        np.testing.assert_allclose(to_host(found), wanted, rtol=1e-12, atol=1e-12)
        found = to_host(device.backward(to_gpu(dy), device_cache))
        np.testing.assert_allclose(found, host.backward(dy, cache), rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(to_host(device(to_gpu(x))), host(x), rtol=1e-12, atol=1e-12)
    assert all(map(on_gpu, device.buffers.values()))
    device.to("cpu")
    assert not any(map(on_gpu, device.buffers.values()))
    for name, buffer in host.buffers.items():
        np.testing.assert_allclose(device.buffers[name], buffer, rtol=1e-13, err_msg=name)
        assert device.buffers[name].dtype == buffer.dtype
    for name, grad in host.grads.items():
        np.testing.assert_allclose(device.grads[name], grad, rtol=1e-11, err_msg=name)


def test_inference_can_be_recorded(cuda):
    layer = BatchNorm2d(3, "float32").to("cuda")
    layer.forward(to_gpu(2 + normal(0, 2, 5, 4, 3).astype("float32")))
    x, other = (to_gpu(normal(seed, 1, 5, 4, 3).astype("float32")) for seed in (1, 2))
    infer = npswin.capture(layer, x)
    np.testing.assert_array_equal(to_host(infer(other)), to_host(layer(other)))
