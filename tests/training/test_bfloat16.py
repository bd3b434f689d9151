"""Training and evaluation in bfloat16 on a CPU: the precision is set for as long as it takes."""

import json
import os
import re
import signal
from contextlib import suppress

import numpy as np
import pytest

from npswin.backends import allow_bfloat16, get_backend, set_backend, why_no_bfloat16
from npswin.backends.cpu.simd import bfloat16_product
from npswin.models import MaskRCNN, UPerNet
from npswin.training import TrainingInterrupted, evaluate, predict_classes, predict_detections, predict_segmentation
from npswin.training.inputs import products_in
from npswin.training.tasks import classification
from npswin.weights import load_tensors
from tests.training.test_detection_task import detector
from tests.training.test_segmentation_task import small_upernet
from tests.training.tiny import tiny_data, tiny_model, tiny_trainer

pytestmark = pytest.mark.usefixtures("no_curves")
needs_bfloat16 = pytest.mark.skipif(why_no_bfloat16() is not None, reason=str(why_no_bfloat16()))
MEAN = STD = (0.5, 0.5, 0.5)


@pytest.fixture(autouse=True)
def _on_the_cpu_backend():
    before = get_backend()
    set_backend("cpu")
    yield
    set_backend(before)


def wide_model(**overrides):
    """A tiny model whose heads have 32 channels."""
    return tiny_model(embed_dim=32, num_heads=(1,), dtype="float32", seed=0, **overrides)


def losses(folder):
    return [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


@needs_bfloat16
def test_a_run_ends_near_the_one_in_float32(tmp_path):
    for precision in ("full", "bfloat16"):
        tiny_trainer(tmp_path / precision, wide_model(), precision=precision, epochs=4).fit()
        assert allow_bfloat16(False) is False
    full, half = losses(tmp_path / "full"), losses(tmp_path / "bfloat16")
    assert full != half
    np.testing.assert_allclose(half, full, rtol=0.02)


@needs_bfloat16
def test_stopped_and_resumed_bitwise_identically(tmp_path, monkeypatch):
    def augment(*arguments):
        steps.append(None)
        if len(steps) == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return original(*arguments)

    tiny_trainer(tmp_path / "whole", wide_model(), precision="bfloat16").fit()
    steps, original = [], classification.augment
    monkeypatch.setattr(classification, "augment", augment)
    with pytest.raises(TrainingInterrupted, match="stopped after step 4"):
        tiny_trainer(tmp_path / "run", wide_model(), precision="bfloat16").fit()
    monkeypatch.undo()
    assert allow_bfloat16(False) is False  # restored although the run was stopped
    tiny_trainer(tmp_path / "run", wide_model(), precision="bfloat16").fit(resume=True)
    for name in ("last.safetensors", "best.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert {str(tensor.dtype) for tensor in load_tensors(tmp_path / "run" / "best.safetensors")[0].values()} == {
        "float32"
    }


@needs_bfloat16
def test_evaluation_and_prediction_round(monkeypatch):
    model, data = wide_model(), tiny_data(6, "test")
    full, half = (evaluate(model, data, MEAN, STD, precision=precision).loss for precision in ("full", "bfloat16"))
    assert full != half
    assert half == pytest.approx(full, rel=0.02)
    image = data.images[0]
    full, half = (predict_classes(model, image, MEAN, STD, precision) for precision in ("full", "bfloat16"))
    assert (full != half).any()
    np.testing.assert_allclose(half, full, atol=0.01)
    assert allow_bfloat16(False) is False


@needs_bfloat16
@pytest.mark.parametrize("precision", ["full", "bfloat16"])
def test_predictions_of_dense_models_round(monkeypatch, precision):
    def recorded(function):
        def call(*arguments):
            seen.append(allow_bfloat16(precision == "bfloat16"))
            return function(*arguments)

        return call

    seen, image = [], np.zeros((3, 32, 32), np.uint8)
    monkeypatch.setattr(UPerNet, "__call__", recorded(UPerNet.__call__))
    predict_segmentation(small_upernet(), image, MEAN, STD, 32, 32, precision)
    monkeypatch.setattr(MaskRCNN, "detect", recorded(MaskRCNN.detect))
    predict_detections(detector(dtype="float32"), image, MEAN, STD, 32, 32, precision=precision)
    assert seen == [precision == "bfloat16"] * 2


@needs_bfloat16
def test_the_setting_is_restored_after_an_error():
    for before in (False, True):
        allow_bfloat16(before)
        with suppress(KeyError), products_in(wide_model(), "bfloat16"):
            assert allow_bfloat16(True) is True
            raise KeyError
        with products_in(wide_model(), "full"):
            assert allow_bfloat16(before) is before
        assert allow_bfloat16(False) is before


@pytest.mark.parametrize("precision", ["tf32", "float16"])
def test_other_precisions_take_a_gpu(tmp_path, precision):
    for call in (
        lambda: tiny_trainer(tmp_path, wide_model(), precision=precision),
        lambda: evaluate(wide_model(), tiny_data(), MEAN, STD, precision=precision),
    ):
        with pytest.raises(
            ValueError, match=rf"^precision: got '{precision}', which takes a model in float32 on a GPU"
        ):
            call()


def test_float64_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"^precision: got 'bfloat16', which takes a model in float32$"):
        tiny_trainer(tmp_path, tiny_model(dtype="float64"), precision="bfloat16")


def test_the_message_says_what_the_processor_lacks(tmp_path, monkeypatch):
    monkeypatch.setattr(bfloat16_product, "HAS_BFLOAT16_VECTORS", False)
    lacking = re.escape("the processor has no instructions for bfloat16 (AVX512-BF16 or AMX-BF16)")
    with pytest.raises(
        ValueError, match=rf"^precision: got 'bfloat16', which takes a GPU .* or another CPU: {lacking}"
    ):
        tiny_trainer(tmp_path, wide_model(), precision="bfloat16")


def test_the_numpy_backend_has_none(tmp_path):
    set_backend("numpy")
    with pytest.raises(ValueError, match=r"^precision: got 'bfloat16', .* the backend numpy has no products"):
        tiny_trainer(tmp_path, wide_model(), precision="bfloat16")
