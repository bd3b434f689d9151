import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npswin.data.colour_distortion import distort_colours, shift_colours
from npswin.data.sample_augment import (
    SHORTER_SIDES,
    random_crop_sample,
    random_flip_sample,
    random_rescale,
    random_resize,
)
from npswin.data.sample_transforms import flip_sample
from npswin.data.samples import IGNORED, SegmentationSample
from npswin.data.scenes import load_detection_scenes, load_segmentation_scenes
from tests.data.drawn import SAMPLES, SEEDS, segmentation_samples
from tests.data.test_sample_transforms import assert_same

pytest.importorskip("PIL")
AUGMENT = {
    "resize": lambda sample, rng: random_resize(sample, rng, (5, 9, 13), 30),
    "rescale": lambda sample, rng: random_rescale(sample, rng, 10, 30),
    "crop": lambda sample, rng: random_crop_sample(sample, rng, (8, 12), 0.75),
    "flip": random_flip_sample,
    "colours": distort_colours,
}


def blank(height, width, channels=3):
    return SegmentationSample(np.zeros((channels, height, width), np.uint8), np.zeros((height, width), np.uint8))


@pytest.mark.parametrize("augment", AUGMENT.values(), ids=AUGMENT)
@given(sample=SAMPLES, seed=SEEDS)
def test_the_same_seed_gives_the_same_sample_and_draws_as_many_numbers(augment, sample, seed):
    generators = [np.random.default_rng(seed) for _ in range(3)]
    assert_same(augment(sample, generators[0]), augment(sample, generators[1]))
    augment(blank(6, 8), generators[2])
    assert generators[0].random() == generators[2].random()


def test_each_of_the_official_sides_is_drawn():
    assert SHORTER_SIDES == (480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800)
    rng = np.random.default_rng(0)
    sides = [min(random_resize(blank(3, 4, 1), rng).image.shape[1:]) for _ in range(80)]
    assert set(sides) == set(SHORTER_SIDES)


def test_the_longer_side_is_limited():
    assert random_resize(blank(10, 50), np.random.default_rng(0), (800,)).image.shape == (3, 267, 1333)


def test_ratios_are_uniform():
    rng = np.random.default_rng(0)
    heights = np.array([random_rescale(blank(100, 100), rng, 100, 400).image.shape[1] for _ in range(200)])
    assert 50 <= heights.min() < 53
    assert 197 < heights.max() <= 200
    assert heights.mean() == pytest.approx(125, abs=12)  # four standard errors
    fixed = random_rescale(blank(100, 300), rng, 100, 150, ratios=(0.5, 0.5))
    assert fixed.image.shape == (3, 25, 75)


def test_about_half_are_flipped():
    sample, rng = load_detection_scenes(count=1, size=32)[0], np.random.default_rng(0)
    flipped = 0
    for _ in range(100):
        result = random_flip_sample(sample, rng)
        flipped += result is not sample
        assert_same(sample if result is sample else flip_sample(sample), result)
    assert 30 < flipped < 70


@given(SAMPLES, SEEDS, st.tuples(st.integers(1, 40), st.integers(1, 40)))
def test_a_crop_is_a_part_of_the_image(sample, seed, size):
    result = random_crop_sample(sample, np.random.default_rng(seed), size)
    height, width = (min(side, own) for side, own in zip(size, sample.image.shape[1:], strict=True))
    assert result.image.shape[1:] == (height, width)
    views = np.lib.stride_tricks.sliding_window_view(sample.image, (height, width), axis=(1, 2))
    assert (views == result.image[:, None, None]).all(axis=(0, 3, 4)).any()


def test_crops_reach_every_place():
    image = np.arange(20, dtype=np.uint8).reshape(1, 4, 5)
    sample, rng = SegmentationSample(image, image[0]), np.random.default_rng(0)
    corners = [int(random_crop_sample(sample, rng, (2, 3)).image[0, 0, 0]) for _ in range(150)]
    assert sorted(set(corners)) == [0, 1, 2, 5, 6, 7, 10, 11, 12]


def test_crops_with_mostly_one_class_are_drawn_again():
    """Two classes side by side above, nothing labelled below; half of the crops have enough of both."""
    labels = np.zeros((40, 40), np.uint8)
    labels[:, :18] = 1
    labels[20:] = IGNORED
    sample = SegmentationSample(np.zeros((3, 40, 40), np.uint8), labels)

    def shares(largest_share):
        rng = np.random.default_rng(0)
        crops = [random_crop_sample(sample, rng, (20, 20), largest_share).labels for _ in range(60)]
        counts = [np.bincount(crop[crop != IGNORED], minlength=2) for crop in crops]
        return np.array([count.max() / max(count.sum(), 1) for count in counts])

    assert (shares(0.75) < 0.75).all()
    assert 0.3 < (shares(1.0) < 0.75).mean() < 0.7
    # Where no crop has a second class, the last one is taken.
    assert random_crop_sample(blank(9, 9), np.random.default_rng(0), (4, 4), 0.75).labels.shape == (4, 4)


def _changes(sample, count):
    rng = np.random.default_rng(0)
    return [distort_colours(sample, rng) for _ in range(count)]


@given(SAMPLES, SEEDS)
def test_colours_alone_are_distorted(sample, seed):
    before = sample.image.copy()
    result = distort_colours(sample, np.random.default_rng(seed))
    assert (result.image.shape, result.image.dtype) == (before.shape, np.uint8)
    np.testing.assert_array_equal(sample.image, before)
    for name, array in vars(sample).items():
        assert name == "image" or getattr(result, name) is array


def test_brightness_and_contrast_are_in_their_ranges():
    """Of one channel: a x + b, rounded, with a and b in the official ranges and each in half of the images."""
    sample = SegmentationSample(np.array([[[40, 80, 120]]], np.uint8), np.zeros((1, 3), np.uint8))
    slopes, offsets = [], []
    for result in _changes(sample, 300):
        low, middle, high = result.image[0, 0].astype(float)
        assert abs(low - 2 * middle + high) <= 2
        slopes.append((high - low) / 80)
        offsets.append(low - 40 * slopes[-1])
    slopes, offsets = np.array(slopes), np.array(offsets)
    assert (slopes.min(), slopes.max()) == (pytest.approx(0.5, abs=0.03), pytest.approx(1.5, abs=0.03))
    assert (slopes == 1).mean() == pytest.approx(0.5, abs=0.12)
    plain = offsets[slopes == 1]
    assert (plain.min(), plain.max()) == (pytest.approx(-32, abs=3), pytest.approx(32, abs=3))
    assert (plain == 0).mean() == pytest.approx(0.5, abs=0.15)


def test_bright_and_dark_pixels_stay_so():
    """Values beyond black and white are cut off: a gradient never falls."""
    gradient = np.arange(256, dtype=np.uint8)[None, None]
    for result in _changes(SegmentationSample(gradient, gradient[0]), 30):
        assert (np.diff(result.image[0, 0].astype(int)) >= 0).all()


def test_hue_and_saturation_are_in_their_ranges():
    """Of images with red alone: the hue of results is within 36 degrees, in both directions."""
    image = np.array([110, 50, 50], np.uint8)[:, None, None]
    hues, saturations = [], []
    for result in _changes(SegmentationSample(image, np.zeros((1, 1), np.uint8)), 400):
        red, green, blue = result.image[:, 0, 0].astype(float)
        assert red == max(red, green, blue)
        hues.append(60 * (green - blue) / max(red - min(green, blue), 1))
        saturations.append(1 - min(green, blue) / red)
    assert (min(hues), max(hues)) == (pytest.approx(-36, abs=4), pytest.approx(36, abs=4))
    assert (np.abs(hues) < 1).mean() == pytest.approx(0.5, abs=0.1)
    assert min(saturations) < 0.4
    assert max(saturations) > 0.9


def test_shifted_colours_are_those_of_hsv():
    red = np.array([200, 0, 0], np.uint8)[:, None, None]
    for hue, expected in ((0, [200, 0, 0]), (120, [0, 200, 0]), (-120, [0, 0, 200]), (60, [200, 200, 0])):
        np.testing.assert_allclose(shift_colours(red, 1.0, hue)[:, 0, 0], expected, atol=5)
    np.testing.assert_allclose(shift_colours(red, 0.5, 0)[:, 0, 0], [200, 100, 100], atol=2)
    grey = np.full((3, 1, 1), 90, np.uint8)
    np.testing.assert_array_equal(shift_colours(grey, 1.5, 36.0), grey)


@given(segmentation_samples(channels=(2, 5)), SEEDS)
def test_other_channels_are_all_changed_alike(sample, seed):
    """Without saturation and hue, equal pixels stay equal over the channels."""
    alike = SegmentationSample(np.repeat(sample.image[:1], len(sample.image), axis=0), sample.labels)
    result = distort_colours(alike, np.random.default_rng(seed)).image
    np.testing.assert_array_equal(result, np.repeat(result[:1], len(result), axis=0))


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda sample, rng: random_resize(sample, rng, 480), "shorter"),
        (lambda sample, rng: random_resize(sample, rng, (480, 0)), "shorter"),
        (lambda sample, rng: random_resize(sample, None), "rng"),
        (lambda sample, rng: random_rescale(sample, rng, ratios=(2, 0.5)), "ratios"),
        (lambda sample, rng: random_rescale(sample, rng, 512, 511), "longer"),
        (lambda sample, rng: random_crop_sample(sample, rng, 512), "size"),
        (lambda sample, rng: random_crop_sample(sample, rng, (4, 4), 0), "largest_share"),
        (lambda sample, rng: random_flip_sample(sample.image, rng), "sample"),
        (lambda sample, rng: distort_colours(sample, 0), "rng"),
    ],
)
def test_bad_arguments_are_named(call, name):
    with pytest.raises(ValueError, match=f"^{name}:"):
        call(load_segmentation_scenes(count=1, size=32)[0], np.random.default_rng(0))
