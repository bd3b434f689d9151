import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npswin.data.augment import random_crop, random_erasing, random_flip
from tests.data.drawn import BATCHES, SEEDS

ALL = [random_crop, random_flip, random_erasing]


@pytest.mark.parametrize("augment", ALL)
@given(images=BATCHES, seed=SEEDS)
def test_augmentations_keep_shape_dtype_and_input_and_repeat_with_a_seed(augment, images, seed):
    before = images.copy()
    first, again = (augment(images, np.random.default_rng(seed)) for _ in range(2))
    assert (first.shape, first.dtype) == (images.shape, images.dtype)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(images, before)
    assert not np.shares_memory(first, images)


@pytest.mark.parametrize("augment", ALL)
@pytest.mark.parametrize("images", [np.zeros((3, 4, 4)), np.zeros((2, 0, 4, 4)), np.zeros((2, 3, 4, 4), np.int64)])
def test_augmentations_refuse_other_arrays(augment, images):
    with pytest.raises(ValueError, match="images"):
        augment(images, np.random.default_rng(0))


@given(BATCHES, SEEDS, st.integers(0, 5))
def test_each_crop_is_a_window_of_its_padded_image(images, seed, padding):
    crops = random_crop(images, np.random.default_rng(seed), padding)
    height, width = images.shape[2:]
    for image, crop in zip(images, crops, strict=True):
        padded = np.pad(image, ((0, 0), (padding, padding), (padding, padding)))
        offsets = [(y, x) for y in range(2 * padding + 1) for x in range(2 * padding + 1)]
        assert any(np.array_equal(crop, padded[:, y : y + height, x : x + width]) for y, x in offsets)


def test_crops_reach_every_offset():
    marked = np.zeros((600, 3, 5, 5), np.uint8)
    marked[:, :, 2, 2] = 1
    crops = random_crop(marked, np.random.default_rng(0), padding=2)
    assert (crops.sum(axis=(2, 3)) == 1).all()
    counts = crops[:, 0].sum(axis=0)
    assert counts.min() > 5


def test_negative_padding_is_refused():
    with pytest.raises(ValueError, match="padding"):
        random_crop(np.zeros((1, 3, 4, 4)), np.random.default_rng(0), -1)


@given(BATCHES, SEEDS)
def test_flipping_twice_alike_is_no_flip(images, seed):
    once = random_flip(images, np.random.default_rng(seed))
    np.testing.assert_array_equal(random_flip(once, np.random.default_rng(seed)), images)
    for image, flipped in zip(images, once, strict=True):
        assert np.array_equal(flipped, image) or np.array_equal(flipped, image[:, :, ::-1])


def test_about_half_are_flipped():
    images = np.zeros((400, 3, 1, 2), np.uint8)
    images[..., 1] = 1
    flipped = random_flip(images, np.random.default_rng(0))[:, 0, 0, 0]
    assert 160 < flipped.sum() < 240


@given(BATCHES.filter(lambda images: images.dtype.kind == "f"), SEEDS)
def test_erasing_changes_one_rectangle(images, seed):
    images = np.full_like(images, 100)  # no noise is 100, but the drawn images may contain the noise of this seed
    erased = random_erasing(images, np.random.default_rng(seed), probability=1.0)
    for image, after in zip(images, erased, strict=True):
        changed = image != after
        assert (changed == changed[0]).all()
        rows, columns = np.flatnonzero(changed[0].any(1)), np.flatnonzero(changed[0].any(0))
        if len(rows):
            assert changed[0, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()


def test_erased_areas_and_shares_are_those_asked_for():
    images = np.full((500, 3, 32, 32), 100.0)
    erased = random_erasing(images, np.random.default_rng(0), 0.25, area=(0.1, 0.2), aspect=(0.5, 2.0))
    changed = (erased != images)[:, 0]
    areas = changed.mean(axis=(1, 2))
    is_erased = areas > 0
    assert 0.18 < is_erased.mean() < 0.32
    assert areas[is_erased].min() > 0.08
    assert areas[is_erased].max() < 0.22
    ratios = changed[is_erased].any(2).sum(1) / changed[is_erased].any(1).sum(1)
    assert ratios.min() < 0.75
    assert ratios.max() > 1.4
    assert ratios.min() > 0.4
    assert ratios.max() < 2.4
    noise = erased[erased != 100.0]
    assert abs(noise.mean()) < 0.02
    assert abs(noise.std() - 1) < 0.02


def test_erased_shapes_are_uniform_on_a_log_scale():
    """As many upright rectangles as lying ones; log(height / width) is uniform in ±log 4."""
    images = np.zeros((600, 3, 40, 40), np.float32)
    erased = random_erasing(images, np.random.default_rng(0), 1.0, area=(0.05, 0.1), aspect=(0.25, 4.0))
    changed = (erased != images)[:, 0]
    logs = np.log(changed.any(axis=2).sum(axis=1) / changed.any(axis=1).sum(axis=1))
    assert abs(logs.mean()) < 0.17  # five standard deviations, as below
    assert logs.std() == pytest.approx(np.log(4) / np.sqrt(3), abs=0.08)
    assert (logs < 0).mean() == pytest.approx((logs > 0).mean(), abs=0.2)


def test_erasing_bytes_uses_all_values():
    erased = random_erasing(np.zeros((100, 3, 32, 32), np.uint8), np.random.default_rng(0), 1.0)
    assert len(np.unique(erased)) == 256


def test_erasing_16_bits_is_uniform_over_all_values():
    erased = random_erasing(np.zeros((100, 4, 32, 32), np.uint16), np.random.default_rng(0), 1.0)
    noise = erased[erased > 0]
    assert noise.max() > 65500
    assert noise.mean() == pytest.approx(65535 / 2, rel=0.02)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"probability": 1.5}, "probability"),
        ({"area": (0.0, 0.3)}, "area"),
        ({"area": (0.5, 0.3)}, "area"),
        ({"area": (0.5, 1.3)}, "area"),
        ({"aspect": (0.0, 3.0)}, "aspect"),
        ({"aspect": (2.0, 1.0)}, "aspect"),
    ],
)
def test_erasing_names_what_is_wrong(change, match):
    with pytest.raises(ValueError, match=match):
        random_erasing(np.zeros((1, 3, 4, 4)), np.random.default_rng(0), **change)
