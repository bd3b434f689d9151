"""Transfers between host memory and the GPU while a model is trained: batches in, logged numbers out."""

import numpy as np
import pytest

from npswin import devices
from npswin.data import ImageDataset
from npswin.devices import to_gpu, to_host
from npswin.training import TrainConfig
from npswin.training.gpu.transfers import AsyncScalar
from npswin.training.learner import Learner
from npswin.training.tasks.classification import ClassificationTask
from npswin.training.tasks.classification_inputs import augment, load_batches
from tests.training.tiny import tiny_data, tiny_model

pytest.importorskip("PIL.Image")
RECIPE = {"crop_padding": 1, "flip": True, "rand_augment": 2, "erasing": 0.5, "mixup": 0.8, "cutmix": 1.0}
STEPS = 6


def test_a_training_step_uploads_its_rates_only(cuda, monkeypatch):
    model = tiny_model(drop_path_rate=0.3).to("cuda")
    config = TrainConfig(epochs=STEPS, clip_norm=1.0, ema_decay=0.9, **RECIPE)
    learner = Learner(model, config, 1, ClassificationTask(config))
    data, batches = tiny_data(12), [np.arange(step % 3, 12, 3) for step in range(STEPS)]
    upload, uploaded = devices.cupy().asarray, []

    def counted(array, *args, **kwargs):
        if isinstance(array, np.ndarray):  # CuPy itself uploads the α of a Beta distribution
            uploaded.append(array.nbytes)
        return upload(array, *args, **kwargs)

    monkeypatch.setattr(devices.cupy(), "asarray", counted)
    for step, (images, labels) in enumerate(load_batches(data, batches, model.params["head.bias"])):
        if step == 2:
            uploaded.clear()
        rng = np.random.default_rng(step)
        inputs, targets = augment(images, labels, 3, learner.config, (0.5,) * 3, (0.25,) * 3, model.dtype, rng)
        record = learner.train_step(inputs, targets, seed=step)
        assert isinstance(record["loss"], AsyncScalar)
        assert isinstance(record["gradient_norm"], AsyncScalar)
    assert np.isfinite(float(record["loss"]))
    assert uploaded == [4 * 4] * (STEPS - 2)


@pytest.mark.parametrize("sizes", [[], [3], [3, 3], [4, 4, 4, 4, 1], [2, 5, 3]])
def test_batches_are_uploaded_in_order(cuda, sizes):
    images = np.arange(20 * 3 * 2 * 2, dtype=np.uint8).reshape(20, 3, 2, 2)
    data = ImageDataset(images, np.arange(20) % 3, ("a", "b", "c"), "numbered", "train")
    batches = [np.random.default_rng(number).integers(20, size=size) for number, size in enumerate(sizes)]
    model = tiny_model().to("cuda")
    found = [
        tuple(to_host(array).copy() for array in arrived)
        for arrived in load_batches(data, batches, model.params["head.bias"])
    ]
    assert len(found) == len(batches)
    for (pixels, labels), indices in zip(found, batches, strict=True):
        np.testing.assert_array_equal(pixels, images[indices])
        np.testing.assert_array_equal(labels, indices % 3)


def test_a_downloaded_number_does_not_change_later(cuda):
    """The result of a CUDA graph is overwritten by the next launch."""
    array = to_gpu(np.array(3.0, np.float32))
    number = AsyncScalar(array)
    array[...] = 5.0
    assert float(number) == 3.0
    assert float(AsyncScalar(array)) == 5.0
