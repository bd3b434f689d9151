"""From pixels and labels to inputs and targets."""

import numpy as np
import pytest

from npswin.data import cutmix, mixup, normalize, one_hot, rand_augment, random_crop, random_erasing
from npswin.training import TrainConfig
from npswin.training.augment import augment
from tests.training.tiny import tiny_data

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.2, 0.3)


def _augmented(seed=0, **switches):
    data = tiny_data(12)
    rng = np.random.default_rng(seed)
    return augment(data.images, data.labels, 3, TrainConfig(**switches), MEAN, STD, np.float32, rng)


def test_nothing_asked_for_nothing_changed():
    data = tiny_data(12)
    inputs, targets = _augmented()
    back = (inputs * np.array(STD)[:, None, None] + np.array(MEAN)[:, None, None]) * 255
    np.testing.assert_allclose(back, data.images, atol=1e-3)
    np.testing.assert_array_equal(targets, data.labels)


@pytest.mark.parametrize("switch", [{"crop_padding": 1}, {"flip": True}, {"rand_augment": 2}, {"erasing": 1.0}])
def test_each_switch_changes_the_inputs_alone(switch):
    inputs, targets = _augmented(**switch)
    assert inputs.shape == (12, 3, 8, 8)
    assert inputs.dtype == np.float32
    assert (inputs != _augmented()[0]).any()
    np.testing.assert_array_equal(targets, tiny_data(12).labels)


@pytest.mark.parametrize(
    ("name", "function", "amount"),
    [
        ("crop_padding", random_crop, 2),
        ("crop_padding", random_crop, 3),
        ("rand_augment", rand_augment, 1),
        ("rand_augment", rand_augment, 5),
    ],
)
def test_the_recipe_says_how_much_happens_to_the_pixels(name, function, amount):
    inputs, _ = _augmented(**{name: amount})
    pixels = function(tiny_data(12).images, np.random.default_rng(0), amount)
    np.testing.assert_array_equal(inputs, normalize(pixels, MEAN, STD, np.float32))


@pytest.mark.parametrize("probability", [0.1, 0.6, 1.0])
def test_the_recipe_says_how_many_are_erased(probability):
    original, (inputs, _) = _augmented()[0], _augmented(erasing=probability)
    np.testing.assert_array_equal(inputs, random_erasing(original, np.random.default_rng(0), probability))
    assert (inputs != original).any(axis=(1, 2, 3)).all() == (probability == 1)


@pytest.mark.parametrize(("name", "function"), [("mixup", mixup), ("cutmix", cutmix)])
@pytest.mark.parametrize("alpha", [0.2, 3.0])
def test_the_recipe_says_how_much_is_mixed(name, function, alpha):
    targets = one_hot(tiny_data(12).labels, 3)
    expected = function(_augmented()[0], targets, np.random.default_rng(0), alpha)
    for result, wanted in zip(_augmented(**{name: alpha}), expected, strict=True):
        np.testing.assert_array_equal(result, wanted)


@pytest.mark.parametrize("switch", [{"mixup": 1.0}, {"cutmix": 1.0}, {"mixup": 1.0, "cutmix": 1.0}])
def test_mixing_makes_soft_targets(switch):
    inputs, targets = _augmented(**switch)
    assert (inputs != _augmented()[0]).any()
    assert targets.shape == (12, 3)
    assert targets.dtype == np.float32
    np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=1e-6)


def test_where_both_mixings_are_on_each_batch_gets_one():
    both = {"mixup": 1.0, "cutmix": 1.0}
    original = _augmented()[0]
    # A pasted image holds nothing but pixels of the batch at their places; a blended one holds others.
    pasted = [(_augmented(seed, **both)[0][:, None] == original).any(axis=1).all() for seed in range(12)]
    assert 2 < sum(pasted) < 10


def test_the_generator_decides():
    everything = {"crop_padding": 1, "flip": True, "rand_augment": 2, "erasing": 0.5, "mixup": 0.5, "cutmix": 0.5}
    first, again, other = (_augmented(seed, **everything)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
