"""npswin.trace: the same as the key, as Python objects."""

import numpy as np
import pytest

import npswin
from npswin.verify.key.golden import draw_pixels
from tests.verify.keys import random_model


def images(batch=2, channels=3, size=(10, 14), dtype="float64"):
    return np.random.default_rng(0).standard_normal((batch, channels, *size)).astype(dtype)


def test_loss_and_gradients_are_the_models():
    model, labels = random_model(), np.array([1, 4])
    before = {name: gradient.copy() for name, gradient in model.grads.items()}
    traced = npswin.trace(model, images(), labels)
    logits, cache = model.forward(images())
    loss, dlogits = npswin.cross_entropy(logits, labels)
    assert traced.loss == pytest.approx(loss, rel=1e-12)
    assert all(np.array_equal(model.grads[name], before[name]) for name in before)  # left alone
    dimages = model.backward(dlogits, cache)
    np.testing.assert_allclose(traced.grads["input"], dimages, rtol=1e-9, atol=1e-12)
    assert traced.tensors["layers.0.blocks.1.attn.scores"].shape == (2, 6, 1, 9, 9)
    assert traced.grads["layers.0.blocks.1.attn.scores"].shape == (2, 6, 1, 9, 9)


def test_float32_stays_float32():
    model = random_model(dtype="float32")
    traced = npswin.trace(model, images(dtype="float32"), [0, 1])
    floats = [name for name in traced.tensors if name != "labels"]
    assert {traced.tensors[name].dtype for name in floats} == {np.dtype("float32")}
    assert {gradient.dtype for gradient in traced.grads.values()} == {np.dtype("float32")}


def test_forward_alone():
    assert npswin.trace(random_model(), images(), [0, 1], backward=False).grads == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": [0]}, "labels: got int64 of shape"),
        ({"labels": [0, 5]}, "labels: got 0 to 5, expected 0 to 4"),
        ({"labels": [0.5, 1]}, "labels: got float64"),
        ({"x": images(channels=1)}, "^x: got shape"),
        ({"x": images(dtype="float32")}, "^x: got dtype float32"),
        ({"model": random_model(num_classes=0)}, "model: got num_classes=0"),
        ({"model": None}, "^model: got None"),
        ({"x": None}, "^x: got None"),
        ({"x": np.ma.array(images())}, "^x: got .*its mask would be ignored"),
        ({"labels": np.ma.array([0, 1])}, "^labels: got .*its mask would be ignored"),
        ({"backward": 1}, "^backward: got 1"),
        ({"progress": None}, "^progress: got None"),
        ({"normalization": 3}, "^normalization: got 3"),
        ({"normalization": ([0.5] * 3, [0.5, 0.0, 0.5])}, r"^normalization\[1\]: got .* above 0"),
        ({"normalization": ([0.5] * 3, [0.5, np.nan, 0.5])}, r"^normalization\[1\]: got"),
        ({"normalization": ([0.5] * 2, [0.5] * 3)}, r"^normalization\[0\]: got .* expected 3 numbers"),
        (
            {"normalization": ([0.5] * 3, [0.5, 1e-320, 0.5])},
            r"^normalization\[0\], normalization\[1\]: got .* infinite",
        ),
        ({"normalization": ([0.5] * 3, [0.5] * 3), "x": images() + np.nan}, "^x: got nan at"),
        (
            {"normalization": ([0.5] * 3, [0.5] * 3), "x": np.zeros((2, 3, 8, 8), np.uint16)},
            r"^x: got dtype uint16, whose white is 65535, expected pixels from 0 to 255; .*normalize\(x, mean, std",
        ),
        (
            {"normalization": ([0.5] * 3, [0.5] * 3), "x": np.full((2, 3, 8, 8), 300)},
            "^x: got numbers from 300 to 300, expected pixels from 0 to 255",
        ),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    arguments = {"model": random_model(), "x": images(), "labels": [0, 1], **change}
    with pytest.raises(ValueError, match=message):
        npswin.trace(**arguments)


def test_pixels_of_16_bits_are_normalized_first():
    """As the message advises: 257 times as large a number of 16 bits is the same shade."""
    model, pixels, scale = random_model(), draw_pixels(0, 2, (8, 8)), ([0.5, 0.4, 0.3], [0.25] * 3)
    deep = npswin.data.normalize(pixels.astype(np.uint16) * 257, *scale, model.dtype)
    traced = npswin.trace(model, deep, [0, 1], backward=False)
    right = npswin.trace(model, pixels, [0, 1], normalization=scale, backward=False)
    np.testing.assert_allclose(traced.tensors["head"], right.tensors["head"], rtol=1e-9, atol=1e-12)


def test_a_trace_does_not_change_with_the_model_and_the_images():
    model, x, labels = random_model(), images(), np.array([0, 1])
    traced = npswin.trace(model, x, labels)
    sources = {name: array.copy() for name, array in traced.sources.items()}
    for array in (x, labels, *model.params.values()):
        array[...] = 0
    assert all(np.array_equal(array, sources[name]) for name, array in traced.sources.items())
