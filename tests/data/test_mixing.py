import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npswin.data.mixing import cutmix, mixup, one_hot
from tests.data.drawn import BATCHES, SEEDS

ALPHAS = st.floats(0.05, 5)


def targets_for(images, dtype=np.float64, classes=7):
    return one_hot(np.arange(len(images)) % classes, classes, dtype)


@given(st.lists(st.integers(0, 4), max_size=9), st.sampled_from([np.float32, np.float64]))
def test_one_hot_puts_a_one_at_the_label(labels, dtype):
    labels = np.array(labels, dtype=np.int64)
    targets = one_hot(labels, 5, dtype)
    assert targets.dtype == dtype
    assert targets.shape == (len(labels), 5)
    assert ((targets == 1).sum(1) == 1).all()
    np.testing.assert_array_equal(targets.argmax(1), labels)
    assert targets.sum() == len(labels)


@pytest.mark.parametrize("labels", [np.array([0, 5]), np.array([-1, 0]), np.array([0.0]), np.array([[0]])])
def test_one_hot_refuses(labels):
    with pytest.raises(ValueError, match="labels"):
        one_hot(labels, 5)


@pytest.mark.parametrize("mix", [mixup, cutmix])
@given(images=BATCHES, seed=SEEDS, alpha=ALPHAS, dtype=st.sampled_from([np.float32, np.float64]))
def test_mixing_keeps_shapes_dtypes_inputs_and_row_sums(mix, images, seed, alpha, dtype):
    targets = targets_for(images, dtype)
    before = images.copy(), targets.copy()
    mixed, mixed_targets = mix(images, targets, np.random.default_rng(seed), alpha)
    assert (mixed.shape, mixed.dtype) == (images.shape, images.dtype)
    assert (mixed_targets.shape, mixed_targets.dtype) == (targets.shape, targets.dtype)
    np.testing.assert_allclose(mixed_targets.sum(1), 1, atol=1e-6)
    assert mixed_targets.min() >= 0
    np.testing.assert_array_equal(images, before[0])
    np.testing.assert_array_equal(targets, before[1])


@pytest.mark.parametrize("mix", [mixup, cutmix])
@given(images=BATCHES, seed=SEEDS)
def test_same_generator_same_mix(mix, images, seed):
    first, again = (mix(images, targets_for(images), np.random.default_rng(seed), 1.0) for _ in range(2))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])


def flat_images(count, dtype):
    """All pixels of image i are i, so each pixel identifies its image."""
    return np.broadcast_to(np.arange(count, dtype=dtype)[:, None, None, None], (count, 3, 12, 9)).copy()


@given(SEEDS, ALPHAS)
def test_mixup_blends_images_and_targets_alike(seed, alpha):
    images = flat_images(6, np.float64)
    blended, targets = mixup(images, one_hot(np.arange(6), 6, np.float64), np.random.default_rng(seed), alpha)
    np.testing.assert_allclose(blended[:, 0, 0, 0], targets @ np.arange(6), atol=1e-12)
    np.testing.assert_allclose(np.ptp(blended, axis=(1, 2, 3)), 0)


@given(SEEDS, ALPHAS)
def test_cutmix_targets_are_the_areas(seed, alpha):
    images = flat_images(6, np.uint8)
    patched, targets = cutmix(images, one_hot(np.arange(6), 6, np.float64), np.random.default_rng(seed), alpha)
    for image, target in zip(patched, targets, strict=True):
        areas = np.bincount(image.reshape(-1), minlength=6) / image.size
        np.testing.assert_allclose(target, areas, atol=1e-12)


def test_cutmix_pastes_one_rectangle():
    pasted_shares = []
    for seed in range(40):
        images = flat_images(2, np.uint8)
        patched, _ = cutmix(images, one_hot(np.arange(2), 2), np.random.default_rng(seed), 1.0)
        foreign = patched[0, 0] != 0
        rows, columns = np.flatnonzero(foreign.any(1)), np.flatnonzero(foreign.any(0))
        if len(rows):
            assert foreign[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        pasted_shares.append(foreign.mean())
    assert len(set(pasted_shares)) > 5


def pasted_masks(alpha, count):
    """The rectangle of each of many draws, (count, 40, 60): True inside."""
    images = np.broadcast_to(np.arange(8, dtype=np.uint8)[:, None, None, None], (8, 3, 40, 60))
    targets, rng = one_hot(np.arange(8), 8), np.random.default_rng(0)
    return np.stack([(cutmix(images, targets, rng, alpha)[0] != images).any(axis=(0, 1)) for _ in range(count)])


def test_cutmix_areas_are_those_of_the_beta_distribution():
    """With a = 1 - λ uniform, and of a side s = √a on average s²/4 cut off: E (s - s²/4)² = 1/2 - 1/5 + 1/48."""
    areas = pasted_masks(1.0, 1500).mean(axis=(1, 2))
    assert areas.mean() == pytest.approx(1 / 2 - 1 / 5 + 1 / 48, abs=0.035)  # five standard deviations


def test_cutmix_rectangles_have_the_images_proportions_and_lie_around_their_centre():
    """With a large α, λ is 1/2: a rectangle has √½ of the image's sides where nothing is cut off."""
    masks = pasted_masks(1e8, 1000)
    rows, columns = masks.any(axis=2), masks.any(axis=1)
    assert rows.sum(axis=1).max() == round(40 * np.sqrt(0.5))
    assert columns.sum(axis=1).max() == round(60 * np.sqrt(0.5))
    for lines in (rows, columns):  # a first or last line is reached by the centres within half a side: √½ / 2
        assert lines[:, 0].mean() == pytest.approx(np.sqrt(0.5) / 2, abs=0.1)
        assert lines[:, -1].mean() == pytest.approx(np.sqrt(0.5) / 2, abs=0.1)
        assert lines[:, lines.shape[1] // 2].mean() == pytest.approx(np.sqrt(0.5), abs=0.1)


@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.uint16, 65535)])
def test_mixup_of_whole_numbers_rounds(dtype, white):
    images = np.stack([np.zeros((4, 2, 2)), np.full((4, 2, 2), white)]).astype(dtype)
    for seed in range(20):
        blended, targets = mixup(images, one_hot(np.arange(2), 2, np.float64), np.random.default_rng(seed), 1.0)
        assert blended.dtype == dtype
        np.testing.assert_array_equal(blended[:, 0, 0, 0], np.rint(white * targets[:, 1]))


@pytest.mark.parametrize("mix", [mixup, cutmix])
@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"images": np.zeros((3, 4, 4))}, "images"),
        ({"images": np.zeros((2, 0, 4, 4))}, "images"),
        ({"images": np.zeros((2, 3, 4, 4), np.int32)}, "int32"),
        ({"targets": np.array([0, 1])}, "targets"),
        ({"targets": np.zeros((3, 5))}, "targets"),
        ({"targets": np.zeros((2, 5), np.int64)}, "targets"),
        ({"targets": np.full((2, 5), np.nan)}, "targets: got rows that are no distributions"),
        ({"targets": np.ones((2, 5))}, "targets: got rows that are no distributions"),
        ({"alpha": 0.0}, "alpha"),
        ({"alpha": float("nan")}, "alpha"),
    ],
)
def test_mixing_names_what_is_wrong(mix, change, match):
    arguments = {"images": np.zeros((2, 3, 4, 4)), "targets": np.full((2, 5), 0.2), "alpha": 1.0} | change
    with pytest.raises(ValueError, match=match):
        mix(rng=np.random.default_rng(0), **arguments)
