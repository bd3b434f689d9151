"""A segmenter on a GPU, or on `fake_cupy`: the same numbers as on the CPU."""

import numpy as np

from npswin.devices import on_gpu, to_gpu, to_host
from tests.models.segmentation.tiny import images, labels, tiny


def trained(model, batch, classes):
    """Losses, the derivative by the images, gradients and buffers, as NumPy arrays."""
    losses, cache = model.loss_forward(batch, classes, np.random.default_rng(0))
    dimages = model.loss_backward(cache, 0.5)
    assert on_gpu(dimages) == on_gpu(batch)
    return {
        name: to_host(value) for name, value in {**losses, "images": dimages, **model.grads, **model.buffers}.items()
    }


def test_a_segmenter_on_a_gpu_equals_one_on_the_cpu(cuda):
    on_cpu, on_cuda = tiny(dropout=0.0), tiny(dropout=0.0).to("cuda")
    wanted = trained(on_cpu, images(), labels())
    found = trained(on_cuda, to_gpu(images()), to_gpu(labels()))
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-7, atol=1e-10, err_msg=name)
    np.testing.assert_allclose(to_host(on_cuda(to_gpu(images()))), on_cpu(images()), rtol=1e-7, atol=1e-10)
