"""Batch norm's running statistics, and what becomes of a layer's buffers: saved, loaded, kept by checks."""

import numpy as np
import pytest

import npswin
from npswin.layers import BatchNorm2d
from npswin.weights import TensorFile, model_tensors
from tests.models.tiny import tiny
from tests.ops.drawn import normal

BUFFERS = ["running_mean", "running_var", "num_batches_tracked"]


def made(**arguments):
    """A layer with statistics of its own."""
    layer = BatchNorm2d(3, "float64", **arguments)
    layer.buffers["running_mean"][...] = [1, -1, 2]
    layer.buffers["running_var"][...] = [0.25, 1, 4]
    layer.buffers["num_batches_tracked"][...] = 7
    return layer


def copies(layer):
    return {name: buffer.copy() for name, buffer in layer.buffers.items()}


def test_a_new_layer_has_the_buffers_of_pytorch():
    layer = BatchNorm2d(3)
    assert list(layer.buffers) == BUFFERS
    assert [buffer.tolist() for buffer in layer.buffers.values()] == [[0, 0, 0], [1, 1, 1], 0]
    assert [buffer.dtype for buffer in layer.buffers.values()] == ["float32", "float32", "int64"]
    assert set(layer.grads) == set(layer.params) == {"weight", "bias"}
    shapes = "weight (3,), bias (3,), running_mean (3,), running_var (3,), num_batches_tracked ()"
    assert repr(layer) == f"BatchNorm2d(frozen=False, {shapes})"


def test_training_normalizes_by_the_batch_and_updates_the_running_statistics():
    layer, x = made(), 3 + 2 * normal(0, 2, 3, 5, 3)
    held = dict(layer.buffers)
    pixels = x.reshape(-1, 3)
    y, _ = layer.forward(x)
    expected = (pixels - pixels.mean(axis=0)) / np.sqrt(pixels.var(axis=0) + 1e-5)
    np.testing.assert_allclose(y.reshape(-1, 3), expected, rtol=0, atol=1e-13)
    mean = 0.9 * np.array([1, -1, 2]) + 0.1 * pixels.mean(axis=0)
    variance = 0.9 * np.array([0.25, 1, 4]) + 0.1 * pixels.var(axis=0, ddof=1)
    for name, wanted in zip(BUFFERS, (mean, variance, 8), strict=True):
        assert layer.buffers[name] is held[name], "changed in place: optimizers and checkpoints hold the arrays"
        np.testing.assert_allclose(layer.buffers[name], wanted, rtol=1e-14)


def test_inference_takes_the_running_statistics_and_changes_nothing():
    layer, x = made(), normal(0, 1, 1, 1, 3)
    before = copies(layer)
    expected = (x - [1, -1, 2]) / np.sqrt(np.array([0.25, 1, 4]) + 1e-5)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-14)
    np.testing.assert_equal(layer.buffers, before)


@pytest.mark.parametrize("layer", [made(frozen=True), made().without_dropout()], ids=["frozen", "without_dropout"])
def test_frozen_statistics_are_used_in_training_and_kept(layer):
    x, before = normal(0, 2, 3, 5, 3), copies(layer)
    y, cache = layer.forward(x)
    dx = layer.backward(np.ones_like(y), cache)
    np.testing.assert_array_equal(y, layer(x))
    np.testing.assert_allclose(dx, np.broadcast_to(1 / np.sqrt(np.array([0.25, 1, 4]) + 1e-5), dx.shape), rtol=1e-14)
    assert all(grad.any() for grad in layer.grads.values())
    np.testing.assert_equal(layer.buffers, before)


def test_a_copy_without_dropout_shares_the_buffers_and_the_layer_goes_on_training():
    layer = made()
    twin = layer.without_dropout()
    layer.forward(normal(0, 2, 3, 5, 3))
    assert (layer.frozen, twin.frozen) == (False, True)
    assert layer.buffers["num_batches_tracked"] == twin.buffers["num_batches_tracked"] == 8


def test_a_single_pixel_has_no_unbiased_variance():
    layer = made()
    before = copies(layer)
    with pytest.raises(ValueError, match=r"BatchNorm2d: x: got shape \(1, 1, 1, 3\), a single pixel, expected two"):
        layer.forward(np.ones((1, 1, 1, 3)))
    np.testing.assert_equal(layer.buffers, before)


def test_a_gradient_check_leaves_the_buffers_as_they_were():
    layer = made()
    before = copies(layer)
    npswin.gradcheck(layer, normal(0, 2, 3, 2, 3))
    np.testing.assert_equal(layer.buffers, before)


@pytest.mark.parametrize(
    ("value", "dtype", "name"),
    [([0.5], "int64", "value"), ([np.nan], "int64", "value"), ([1e300], "float32", "value"), ([1], "int32", "dtype")],
)
def test_a_buffer_that_its_dtype_cannot_hold_is_refused(value, dtype, name):
    layer = made()
    with pytest.raises(ValueError, match=f"^{name}: got "):
        layer.add_buffer("more", np.array(value), dtype)
    assert list(layer.buffers) == BUFFERS


class TestWeightFiles:
    @pytest.fixture
    def models(self):
        """Two models with a batch norm, of different numbers."""
        found = []
        for seed in (0, 1):
            model = tiny(seed=seed)
            model.add_child("neck.bn", made())
            model.forward(normal(seed, 2, 3, 16, 16))
            found.append(model)
        found[0].children["neck.bn"].forward(normal(0, 2, 3, 5, 3))
        return found

    def test_parameters_and_buffers_are_saved_and_loaded(self, models, tmp_path):
        saved, loaded = models
        saved.save(tmp_path / "w.safetensors")
        assert set(TensorFile(tmp_path / "w.safetensors")) == {*saved.params, *saved.buffers}
        held = model_tensors(loaded)
        report = npswin.load_weights(loaded, tmp_path / "w.safetensors")
        assert report.complete
        assert {f"neck.bn.{name}" for name in BUFFERS} <= set(report.loaded)
        np.testing.assert_equal(held, model_tensors(saved))

    def test_buffers_that_are_missing_or_of_another_kind_are_refused(self, models):
        saved, loaded = models
        tensors, before = model_tensors(saved), {name: value.copy() for name, value in model_tensors(loaded).items()}
        without = {name: value for name, value in tensors.items() if name != "neck.bn.running_var"}
        with pytest.raises(npswin.weights.WeightMismatchError, match=r"missing: neck\.bn\.running_var"):
            npswin.load_weights(loaded, without)
        with pytest.raises(ValueError, match=r"neck\.bn\.num_batches_tracked: has dtype float64, expected integers"):
            npswin.load_weights(loaded, {**tensors, "neck.bn.num_batches_tracked": np.array(1.0)})
        np.testing.assert_equal(model_tensors(loaded), before)
