"""The checks of a recipe's values."""

import json

import numpy as np
import pytest

from npswin.training import TrainConfig


def test_config_defaults_are_valid_and_fit_into_json():
    assert json.loads(json.dumps(TrainConfig().as_dict())) == TrainConfig().as_dict()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0),
        ("epochs", 1.5),
        ("epochs", True),
        ("batch_size", 0),
        ("micro_batches", 65),
        ("optimizer", "adam"),
        ("lr", 0.0),
        ("lr", float("nan")),
        ("lr", "0.1"),
        ("weight_decay", -0.1),
        ("warmup_epochs", 10),
        ("min_lr", 0.1),
        ("label_smoothing", 1.0),
        ("clip_norm", 0.0),
        ("ema_decay", 1.0),
        ("crop_padding", -1),
        ("flip", 1),
        ("mixup", -1.0),
        ("cutmix", float("inf")),
        ("erasing", 1.1),
        ("rand_augment", -1),
        ("seed", -1),
        ("checkpoint_every", 0),
    ],
)
def test_config_names_a_value_out_of_range(name, value):
    with pytest.raises(ValueError, match=f"^{name}: got"):
        TrainConfig(**{name: value})


def test_numpy_numbers_are_numbers_and_fit_into_json():
    config = TrainConfig(epochs=np.int64(3), lr=np.float32(0.5), flip=np.bool_(True), seed=np.array(4), mixup=1)
    assert json.loads(json.dumps(config.as_dict())) == {**TrainConfig().as_dict(), **config.as_dict()}
    assert (config.epochs, config.lr, config.flip, config.seed, config.mixup) == (3, 0.5, True, 4, 1.0)
