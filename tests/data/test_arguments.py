"""Wrong arguments of data sets, augmentation and batches: each error names the argument."""

import numpy as np
import pytest

from npswin import data

PIXELS = np.zeros((2, 3, 4, 4), np.uint8)
FLOATS = np.zeros((2, 3, 4, 4), np.float32)
LABELS = np.array([0, 1])
TARGETS = np.full((2, 2), 0.5)
RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: data.ImageDataset(PIXELS.tolist(), LABELS, ("a", "b"), "x", "train"), "images"),
        (lambda: data.ImageDataset(PIXELS, LABELS.tolist(), ("a", "b"), "x", "train"), "labels"),
        (lambda: data.ImageDataset(PIXELS, np.ma.array(LABELS), ("a", "b"), "x", "train"), "labels"),
        (lambda: data.ImageDataset(PIXELS, LABELS, "ab", "x", "train"), "class_names"),
        (lambda: data.ImageDataset(PIXELS, LABELS, ("a", "b"), None, "train"), "name"),
        (lambda: data.channel_statistics(PIXELS.tolist()), "images"),
        (lambda: data.normalize(PIXELS, (0.5,) * 3, (0.5, 0, 0.5)), "std"),
        (lambda: data.normalize(PIXELS, 0.5, (0.5,) * 3), "mean"),
        (lambda: data.normalize(PIXELS, (0.5,) * 3, (0.5,) * 3, int), "dtype"),
        (lambda: data.normalize(PIXELS, (0.5,) * 3, (0.5,) * 3, None), "dtype"),
        (lambda: data.one_hot(LABELS, 2.0), "num_classes"),
        (lambda: data.one_hot(LABELS, 2, int), "dtype"),
        (lambda: data.one_hot([0, 1], 2), "labels"),
        (lambda: data.mixup(FLOATS, TARGETS, 0, 1.0), "rng"),
        (lambda: data.cutmix(FLOATS, TARGETS, RNG, "1"), "alpha"),
        (lambda: data.random_crop(PIXELS, RNG, 1.5), "padding"),
        (lambda: data.random_crop(PIXELS, RNG, 10**9), "padding"),
        (lambda: data.random_crop(PIXELS[:0], RNG), "images"),
        (lambda: data.random_flip(PIXELS, None), "rng"),
        (lambda: data.random_erasing(PIXELS, RNG, None), "probability"),
        (lambda: data.random_erasing(PIXELS, RNG, 0.5, None), "area"),
        (lambda: data.random_erasing(PIXELS, RNG, 0.5, (0.3, 0.1)), "area"),
        (lambda: data.random_erasing(PIXELS, RNG, 0.5, aspect=(0.3, np.nan)), "aspect"),
        (lambda: data.rand_augment(PIXELS, RNG, 1.5), "num_ops"),
        (lambda: data.rand_augment(PIXELS, RNG, 1, True), "magnitude"),
        (lambda: data.steps_per_epoch(5.0, 2), "dataset_size"),
        (lambda: data.epoch_batches(5, 2.5, 0, 0), "batch_size"),
        (lambda: data.batch_rng(True, 0, 0), "seed"),
        (lambda: data.batch_rng(0, 0.5, 0), "epoch"),
        (lambda: data.batch_rng(0, 0, None), "step"),
        (lambda: data.make_shapes(2, split=None), "split"),
        (lambda: data.make_shapes(2.0), "count"),
        (lambda: data.load_shapes(train="test"), "train"),
        (lambda: data.load_shapes(train=False, seed=0.5), "seed"),
        (lambda: data.load_cifar10(3), "data_dir"),
        (lambda: data.load_cifar10(download="no"), "download"),
    ],
)
def test_errors_name_the_argument(call, name):
    with pytest.raises(ValueError, match=f"^{name}: got "):
        call()


def test_numpy_numbers_are_numbers():
    batches = [list(data.epoch_batches(kind(7), kind(3), kind(1), kind(2))) for kind in (int, np.int64, np.array)]
    for other in batches[1:]:
        np.testing.assert_array_equal(other, batches[0])
    rng = [data.batch_rng(kind(1), kind(2), kind(3)).random() for kind in (int, np.uint8, np.array)]
    assert len(set(rng)) == 1
    mean, std = np.array([0.1, 0.2, 0.3], np.float32), [np.float64(0.5)] * 3
    expected = data.normalize(PIXELS, tuple(map(float, mean)), (0.5,) * 3)
    np.testing.assert_array_equal(data.normalize(PIXELS, mean, std), expected)


def test_class_names_become_a_tuple():
    assert data.ImageDataset(PIXELS, LABELS, ["a", "b"], "x", "train").class_names == ("a", "b")
