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
        ("schedule", "linear"),
        ("schedule", "steps"),
        ("decay_epochs", (8, 9)),
        ("warmup_steps", -1),
    ],
)
def test_config_names_a_value_out_of_range(name, value):
    with pytest.raises(ValueError, match=f"^{'decay_epochs' if value == 'steps' else name}: got"):
        TrainConfig(**{name: value})


@pytest.mark.parametrize("epochs", [(0, 8), (8, 12), (8, 8), (11, 8), (8.5,), 8, "8", ()])
def test_config_takes_epochs_of_the_run_in_rising_order_for_its_steps(epochs):
    with pytest.raises(ValueError, match=r"^decay_epochs: got"):
        TrainConfig(epochs=12, schedule="steps", decay_epochs=epochs)
    assert TrainConfig(epochs=12, schedule="steps", decay_epochs=[8, np.int64(11)]).decay_epochs == (8, 11)


def test_config_takes_one_warm_up_and_no_lowest_rate_of_steps():
    with pytest.raises(ValueError, match=r"^warmup_steps: got 5 beside warmup_epochs"):
        TrainConfig(warmup_steps=5, warmup_epochs=1)
    with pytest.raises(ValueError, match=r'^min_lr: got 1e-05, expected 0 with the schedule "steps"'):
        TrainConfig(schedule="steps", decay_epochs=(8,), min_lr=1e-5)


def test_numpy_numbers_are_numbers_and_fit_into_json():
    config = TrainConfig(epochs=np.int64(3), lr=np.float32(0.5), flip=np.bool_(True), seed=np.array(4), mixup=1)
    assert json.loads(json.dumps(config.as_dict())) == {**TrainConfig().as_dict(), **config.as_dict()}
    assert (config.epochs, config.lr, config.flip, config.seed, config.mixup) == (3, 0.5, True, 4, 1.0)
