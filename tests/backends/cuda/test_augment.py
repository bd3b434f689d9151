"""Augmentation of images on the GPU: RandAugment's kernel compared with Pillow, and the rest."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from npswin.data import channel_statistics, normalize
from npswin.data.rand_augment import OPERATIONS, apply_operations
from npswin.devices import generator_on_device_of, on_gpu, to_gpu, to_host
from npswin.training import TrainConfig
from npswin.training.tasks.classification_inputs import augment, load_batches
from tests.data.drawn import BYTE_BATCHES, SEEDS
from tests.thorough import examples
from tests.training.tiny import tiny_data

pytest.importorskip("PIL.Image")


def assert_equals_pillow(images, operations, signs, magnitude):
    """The kernel's bytes are those of Pillow."""
    from npswin.backends.cuda import rand_augment

    found = rand_augment.apply_operations(*map(to_gpu, (images, operations, signs)), magnitude)
    np.testing.assert_array_equal(to_host(found), apply_operations(images, operations, signs, magnitude))


@pytest.mark.parametrize("operation", range(len(OPERATIONS)), ids=[apply.__name__ for apply, _ in OPERATIONS])
@settings(max_examples=examples(20))
@given(BYTE_BATCHES, SEEDS, st.sampled_from([0.0, 2.5, 7.3, 9.0, 10.0]), st.booleans())
def test_a_rand_augment_operation_equals_pillow(cuda, operation, images, seed, magnitude, few_levels):
    rng = np.random.default_rng(seed)
    if few_levels:  # as in pictures with plain surfaces
        images = images // 64 * 40
    operations = np.full((len(images), 1), operation)
    assert_equals_pillow(images, operations, 2 * rng.integers(0, 2, operations.shape) - 1, magnitude)


EVERYTHING = {"crop_padding": 1, "flip": True, "rand_augment": 2, "erasing": 0.9}


def augmented(dtype="float32", seed=0, count=12, **switches):
    """Inputs and targets of images of one colour, proportional to their index, made on the GPU."""
    numbers = np.arange(count)
    images = np.broadcast_to(numbers[:, None, None, None], (count, 3, 8, 8)).astype(np.uint8) * 20
    given = to_gpu(images), to_gpu(numbers % 3)
    results = augment(*given, 3, TrainConfig(**switches), (0.5,) * 3, (0.25,) * 3, dtype, np.random.default_rng(seed))
    assert all(map(on_gpu, results))
    return images, *map(to_host, results)


@pytest.mark.parametrize("mixing", [{}, {"mixup": 0.8}, {"cutmix": 1.0}, {"mixup": 0.8, "cutmix": 1.0}])
def test_augmented_images_stay_on_the_gpu(cuda, mixing):
    images, inputs, targets = augmented(**EVERYTHING, **mixing)
    assert (inputs.shape, inputs.dtype) == (images.shape, np.float32)
    assert np.isfinite(inputs).all()
    assert targets.shape == ((12, 3) if mixing else (12,))
    if mixing:
        np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(augmented(**EVERYTHING, **mixing)[1], inputs)
    assert (augmented(seed=1, **EVERYTHING, **mixing)[1] != inputs).any()


def test_pixels_and_targets_are_mixed_alike_on_the_gpu(cuda):
    for mixing in ({"mixup": 0.8}, {"cutmix": 1.0}):
        _, inputs, targets = augmented("float64", count=3, **mixing)
        values = (inputs * 0.25 + 0.5) * 255 / 20
        np.testing.assert_allclose(values.mean(axis=(1, 2, 3)), targets @ np.arange(3), atol=1e-9)


def test_each_image_is_cropped_flipped_and_erased_independently(cuda):
    _, inputs, _ = augmented(count=12, crop_padding=2, flip=True)
    pixels = np.rint((inputs * 0.25 + 0.5) * 255)
    assert all(set(np.unique(pixel)) <= {0, 20 * number} for number, pixel in enumerate(pixels))
    assert len({tuple((pixel[0] != 0).ravel()) for pixel in pixels[1:]}) > 5
    _, erased, _ = augmented(count=12, erasing=0.5)
    touched = (erased != augmented(count=12)[1]).any(axis=(1, 2, 3))
    assert 1 < touched.sum() < 11


@pytest.mark.parametrize("channels", [1, 2, 4, 11])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_any_channels_and_bits_are_augmented_on_the_gpu(cuda, channels, dtype):
    data = tiny_data(12, channels=channels, dtype=dtype)
    mean, std = channel_statistics(data.images)
    given = to_gpu(data.images), to_gpu(data.labels)
    recipe = TrainConfig(crop_padding=1, flip=True, erasing=0.9, mixup=0.8, cutmix=1.0)
    inputs, targets = augment(*given, 3, recipe, mean, std, "float32", np.random.default_rng(0))
    assert on_gpu(inputs)
    assert (inputs.shape, inputs.dtype, targets.shape) == ((12, channels, 8, 8), np.float32, (12, 3))
    plain, _ = augment(*given, 3, TrainConfig(), mean, std, "float32", np.random.default_rng(0))
    np.testing.assert_allclose(to_host(plain), normalize(data.images, mean, std), rtol=0, atol=1e-6)
    for batch, _ in load_batches(data, [np.array([3, 1]), np.array([0, 11])], given[0]):
        assert (on_gpu(batch), batch.dtype) == (True, dtype)


@pytest.mark.parametrize(("channels", "dtype"), [(1, np.uint8), (4, np.uint8), (3, np.uint16)])
def test_rand_augment_refuses_other_images_on_the_gpu(cuda, channels, dtype):
    from npswin.backends.cuda.rand_augment import rand_augment

    images = to_gpu(tiny_data(2, channels=channels, dtype=dtype).images)
    with pytest.raises(ValueError, match=r"^images: got .*RandAugment has operations on"):
        rand_augment(images, generator_on_device_of(images, 0))


@settings(max_examples=examples(20))
@given(SEEDS)
def test_rand_augment_operations_are_applied_in_order(cuda, seed):
    rng = np.random.default_rng(seed)
    steep = np.sin(np.arange(20 * 24 * 9).reshape(3, 3, 20, 24) / 900 + rng.random((3, 3, 1, 1)))
    images = (128 + 127 * steep).astype(np.uint8)
    operations, signs = rng.integers(0, 14, (3, 3)), 2 * rng.integers(0, 2, (3, 3)) - 1
    assert_equals_pillow(images, operations, signs, 9)
