"""The checks of a recipe's values."""

import json

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
