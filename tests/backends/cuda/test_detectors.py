"""Detectors on a GPU, or on `fake_cupy`: the same numbers as on the CPU."""

import numpy as np
import pytest

from npswin.devices import on_gpu, to_gpu, to_host
from tests.models.detection.tiny import KINDS, SIZES, images, objects, tiny


def trained(model, batch):
    """Losses, the derivative by the images and gradients, as NumPy arrays."""
    losses, cache = model.loss_forward(batch, SIZES, objects(), np.random.default_rng(0))
    dimages = model.loss_backward(cache, 0.5)
    assert on_gpu(dimages) == on_gpu(batch)
    return {name: to_host(value) for name, value in {**losses, "images": dimages, **model.grads}.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_a_detector_on_a_gpu_equals_one_on_the_cpu(cuda, kind):
    batch = images()
    on_cpu, on_cuda = tiny(kind), tiny(kind).to("cuda")
    wanted, found = trained(on_cpu, batch), trained(on_cuda, to_gpu(batch))
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-7, atol=1e-10, err_msg=name)
    for one, other in zip(on_cpu(batch, SIZES), on_cuda(to_gpu(batch), SIZES), strict=True):
        for name in ("boxes", "scores", "labels", "mask_probabilities"):
            np.testing.assert_allclose(getattr(other, name), getattr(one, name), rtol=1e-7, err_msg=name)


def test_a_detector_trains_on_images_of_16_bits(cuda):
    model = tiny("cascade", dtype="float32").to("cuda")
    losses, cache = model.loss_forward(to_gpu(images().astype("float16")), SIZES, objects(), np.random.default_rng(0))
    dimages = model.loss_backward(cache, 4.0)
    assert dimages.dtype == "float16"
    assert all(np.isfinite(to_host(loss)) for loss in losses.values())
    assert all(gradient.dtype == np.float32 for gradient in model.grads.values())
    assert np.isfinite(to_host(model.grads["roi_head.bbox_head.1.fc_reg.weight"])).all()
    assert len(model(to_gpu(images().astype("float16")), SIZES)) == 2
