"""UPerNet: derivatives, batch norm's buffers, inference, saving. Parity is in `tests/peers/test_upernet.py`."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

import npswin
from npswin.models.segmentation.configs import UPERNET_CONFIGS
from npswin.ops import resize_bilinear_forward
from npswin.weights.load import model_tensors
from tests.gradient_errors import gradcheck_and_record
from tests.models.segmentation.tiny import SIZE, images, labels, tiny
from tests.thorough import some


class Loss:
    """The sum of the losses as a function of the images, with the same dropout in each pass."""

    def __init__(self, model):
        self.model, self.params = model, model.params

    @property
    def grads(self):
        return self.model.grads

    def forward(self, images):
        losses, cache = self.model.loss_forward(images, labels(), np.random.default_rng(0))
        return np.array([sum(losses.values())]), cache

    def backward(self, dy, cache):
        return self.model.loss_backward(cache, dy[0])


@pytest.mark.parametrize("auxiliary", [2, 0])
def test_gradients(auxiliary):
    loss = Loss(tiny(auxiliary_channels=auxiliary, dropout=0.3))
    # A step so short that hardly any of the many ReLUs bends within it.
    gradcheck_and_record("UPerNet", loss, images(), tolerance=1e-6, along="joint", directions=2, step=3e-7)


def test_the_derivative_by_the_logits_is_that_of_the_losses():
    model, rng = tiny(dropout=0.0), np.random.default_rng(0)
    losses, cache = model.loss_forward(images(), labels(), rng)
    dimages = model.loss_backward(cache, 2.0)
    grads = {name: grad.copy() for name, grad in model.grads.items()}
    model.zero_grad()
    outputs, cache = model.forward(images(), np.random.default_rng(0))
    dlogits = []
    for weight, logits in zip((2.0, 0.8), outputs, strict=True):
        loss, loss_cache = npswin.ops.resized_cross_entropy_forward(logits, labels())
        dlogits.append(npswin.ops.resized_cross_entropy_backward(weight * np.ones_like(loss), loss_cache))
    np.testing.assert_allclose(model.backward(dlogits, cache), dimages, rtol=1e-9, atol=1e-12)
    for name, grad in model.grads.items():
        np.testing.assert_allclose(grad, grads[name], rtol=1e-9, atol=1e-12, err_msg=name)
    assert list(losses) == ["loss_segmentation", "loss_auxiliary"] == list(model.loss_names)


def test_inference_takes_running_statistics_and_every_size():
    model = tiny(dropout=0.5)
    before = {name: value.copy() for name, value in model.buffers.items()}
    logits = model(images())
    assert logits.shape == (2, *SIZE, 3)
    assert all(np.array_equal(value, before[name]) for name, value in model.buffers.items())
    np.testing.assert_allclose(model(images()[:1])[0], logits[0], rtol=1e-12, atol=1e-12)
    coarse = model.decode_head(model.backbone(images()))
    np.testing.assert_allclose(logits, resize_bilinear_forward(coarse, SIZE)[0], rtol=1e-12, atol=1e-12)
    model.forward(images())
    assert all(not np.array_equal(value, before[name]) for name, value in model.buffers.items())


def test_dropout_sets_whole_channels_to_zero():
    head = tiny(dropout=0.5).auxiliary_head.classifier
    x = np.ones((2, 3, 4, 2))
    head.conv_seg.params["weight"][...] = np.eye(3, 2)[:, :, None, None]
    head.conv_seg.params["bias"][...] = 0
    logits, _ = head.forward(x, np.random.default_rng(4))
    channels = logits[..., :2]
    assert set(np.unique(channels)) == {0.0, 2.0}
    assert (channels == channels[:, :1, :1]).all()


def test_it_is_saved_and_made_again(tmp_path):
    model, path = tiny(), tmp_path / "model.safetensors"
    model.forward(images())
    model.save(path)
    tensors = load_file(path)
    assert set(tensors) == set(model.params) | set(model.buffers)
    again = npswin.UPerNet(**{name: value for name, value in model.config.items() if name != "architecture"})
    assert json.loads(json.dumps(again.config)) == model.config
    npswin.load_weights(again, path)
    for name, value in model_tensors(again).items():
        np.testing.assert_array_equal(value, tensors[name])


def test_labels_of_another_size_or_class_are_refused():
    with pytest.raises(ValueError, match="labels"):
        tiny().loss_forward(images(), labels()[:, :-1])
    with pytest.raises(ValueError, match="labels"):
        tiny().loss_forward(images(), labels(classes=4))


# Table 3 of Liu et al. 2021.
@pytest.mark.parametrize(("size", "millions"), some([("tiny", 60), ("small", 81), ("base", 121)], lambda case: False))
def test_parameter_counts_equal_the_papers(size, millions):
    model = npswin.UPerNet(**UPERNET_CONFIGS[f"upernet_swin_{size}"])
    assert round(sum(param.size for param in model.params.values()) / 1e6) == millions
