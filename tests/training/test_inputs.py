"""Batches from a data set, augmented into inputs and targets."""

import numpy as np
import pytest

from npswin.data import cutmix, mixup, normalize, one_hot, rand_augment, random_crop, random_erasing
from npswin.training import TrainConfig
from npswin.training.tasks.classification_inputs import augment, load_batches
from tests.training.tiny import tiny_data

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.2, 0.3)


def _augmented(seed=0, **switches):
    data = tiny_data(12)
    rng = np.random.default_rng(seed)
    return augment(data.images, data.labels, 3, TrainConfig(**switches), MEAN, STD, np.float32, rng)


def test_augment_with_everything_off_only_normalizes():
    data = tiny_data(12)
    inputs, targets = _augmented()
    back = (inputs * np.array(STD)[:, None, None] + np.array(MEAN)[:, None, None]) * 255
    np.testing.assert_allclose(back, data.images, atol=1e-3)
    np.testing.assert_array_equal(targets, data.labels)


@pytest.mark.parametrize("switch", [{"crop_padding": 1}, {"flip": True}, {"rand_augment": 2}, {"erasing": 1.0}])
def test_augment_changes_only_the_inputs(switch):
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
def test_augment_passes_the_strength_to_crop_and_rand_augment(name, function, amount):
    inputs, _ = _augmented(**{name: amount})
    pixels = function(tiny_data(12).images, np.random.default_rng(0), amount)
    np.testing.assert_array_equal(inputs, normalize(pixels, MEAN, STD, np.float32))


@pytest.mark.parametrize("probability", [0.1, 0.6, 1.0])
def test_augment_passes_the_probability_to_erasing(probability):
    original, (inputs, _) = _augmented()[0], _augmented(erasing=probability)
    np.testing.assert_array_equal(inputs, random_erasing(original, np.random.default_rng(0), probability))
    assert (inputs != original).any(axis=(1, 2, 3)).all() == (probability == 1)


@pytest.mark.parametrize(("name", "function"), [("mixup", mixup), ("cutmix", cutmix)])
@pytest.mark.parametrize("alpha", [0.2, 3.0])
def test_augment_passes_alpha_to_mixup_and_cutmix(name, function, alpha):
    targets = one_hot(tiny_data(12).labels, 3)
    expected = function(_augmented()[0], targets, np.random.default_rng(0), alpha)
    for result, wanted in zip(_augmented(**{name: alpha}), expected, strict=True):
        np.testing.assert_array_equal(result, wanted)


@pytest.mark.parametrize("switch", [{"mixup": 1.0}, {"cutmix": 1.0}, {"mixup": 1.0, "cutmix": 1.0}])
def test_augment_with_mixing_gives_soft_targets(switch):
    inputs, targets = _augmented(**switch)
    assert (inputs != _augmented()[0]).any()
    assert targets.shape == (12, 3)
    assert targets.dtype == np.float32
    np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=1e-6)


def test_augment_with_both_mixings_applies_one_per_batch():
    both = {"mixup": 1.0, "cutmix": 1.0}
    original = _augmented()[0]
    # CutMix's pixels are all pixels of the batch at the same position; mixup's are not.
    pasted = [(_augmented(seed, **both)[0][:, None] == original).any(axis=1).all() for seed in range(12)]
    assert 2 < sum(pasted) < 10


def test_augment_depends_on_the_generator():
    everything = {"crop_padding": 1, "flip": True, "rand_augment": 2, "erasing": 0.5, "mixup": 0.5, "cutmix": 0.5}
    first, again, other = (_augmented(seed, **everything)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_load_batches_on_the_cpu():
    data, index_batches = tiny_data(12), [np.array([3, 1]), np.array([0, 11, 5])]
    batches = list(load_batches(data, index_batches, np.zeros(1)))
    for (images, labels), indices in zip(batches, index_batches, strict=True):
        np.testing.assert_array_equal(images, data.images[indices])
        np.testing.assert_array_equal(labels, data.labels[indices])
