import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npswin.data.batches import batch_rng, epoch_batches, sample_rng
from npswin.data.dataset import channel_statistics, normalize
from npswin.data.load_samples import AHEAD, load_samples
from npswin.data.padded_batch import DetectionBatch, SegmentationBatch, normalize_padded, padded_batch
from npswin.data.sample_datasets import SegmentationDataset
from npswin.data.sample_statistics import sample_statistics
from npswin.data.samples import IGNORED, SegmentationSample
from npswin.data.scenes import load_detection_scenes
from tests.data.drawn import detection_samples, segmentation_samples
from tests.data.test_sample_transforms import assert_same

DIVISORS = st.sampled_from([1, 4, 32])
SEGMENTATION = st.lists(segmentation_samples(channels=(3,)), min_size=1, max_size=4)
DETECTION = st.lists(detection_samples(channels=(2,)), min_size=1, max_size=4)


@given(SEGMENTATION | DETECTION, DIVISORS)
def test_a_batch_is_the_smallest_that_holds_its_images(samples, divisor):
    batch = padded_batch(samples, divisor)
    count, _, *size = batch.images.shape
    assert (count, batch.images.dtype) == (len(samples), np.uint8)
    for axis, side in enumerate(size):
        largest = max(sample.image.shape[1 + axis] for sample in samples)
        assert side % divisor == 0
        assert largest <= side < largest + divisor
    for image, (height, width), sample in zip(batch.images, batch.sizes, samples, strict=True):
        np.testing.assert_array_equal(image[:, :height, :width], sample.image)
        assert image.sum() == sample.image.sum()


@given(SEGMENTATION, DIVISORS)
def test_padding_is_ignored_in_label_maps(samples, divisor):
    batch = padded_batch(samples, divisor)
    assert isinstance(batch, SegmentationBatch)
    assert (batch.labels.dtype, batch.labels.shape[1:]) == (np.int64, batch.images.shape[2:])
    for labels, (height, width), sample in zip(batch.labels, batch.sizes, samples, strict=True):
        np.testing.assert_array_equal(labels[:height, :width], sample.labels)
        assert (labels != IGNORED).sum() == (sample.labels != IGNORED).sum()


@given(DETECTION)
def test_objects_stay_as_they_are(samples):
    batch = padded_batch(samples)
    assert isinstance(batch, DetectionBatch)
    for sample, given_sample in zip(batch.samples, samples, strict=True):
        assert sample is given_sample


@given(SEGMENTATION | DETECTION)
def test_padding_is_zero_after_normalization(samples):
    batch = padded_batch(samples)
    mean, std = np.linspace(0.2, 0.6, batch.images.shape[1]), np.linspace(0.1, 0.4, batch.images.shape[1])
    inputs = normalize_padded(batch.images, batch.sizes, mean, std, np.float64)
    for one, (height, width), sample in zip(inputs, batch.sizes, samples, strict=True):
        expected = np.zeros_like(one)
        expected[:, :height, :width] = normalize(sample.image[None], mean, std, np.float64)[0]
        np.testing.assert_array_equal(one, expected)


@given(st.lists(segmentation_samples(channels=(3,)) | detection_samples(channels=(3,)), min_size=1, max_size=4))
def test_statistics_are_those_of_all_pixels(samples):
    pixels = np.concatenate([sample.image.reshape(3, -1) for sample in samples], axis=1)
    expected = channel_statistics(pixels[None, :, None])
    np.testing.assert_allclose(sample_statistics(samples), expected, rtol=1e-12)


def test_statistics_read_one_sample_after_the_other():
    def read():
        for sample in load_detection_scenes(count=4, size=32):
            alive.append(sample)
            assert len(alive) == 1
            yield sample
            alive.clear()

    alive = []
    mean, std = sample_statistics(read())
    assert len(mean) == len(std) == 3


def _jitter(sample, rng):
    """Noise, and a crop whose height shows the generator."""
    noise = rng.integers(0, 256, sample.image.shape, np.uint8)
    return SegmentationSample(sample.image ^ noise, sample.labels)


@pytest.fixture
def data():
    image = np.zeros((3, 4, 4), np.uint8)
    samples = [SegmentationSample(image + np.uint8(index), np.zeros((4, 4), np.uint8)) for index in range(24)]
    return SegmentationDataset(samples=samples, class_names=("a",), name="some", split="train")


def test_samples_come_in_order_and_depend_on_seed_epoch_and_index_alone(data):
    batches = list(epoch_batches(24, 5, seed=1, epoch=2))
    loaded = list(load_samples(data, batches, _jitter, seed=1, epoch=2))
    assert [len(batch) for batch in loaded] == [5, 5, 5, 5]
    for indices, batch in zip(batches, loaded, strict=True):
        for index, sample in zip(indices, batch, strict=True):
            assert_same(_jitter(data[index], sample_rng(1, 2, index)), sample)
    plain = next(load_samples(data, batches))
    assert all(sample is data[index] for sample, index in zip(plain, batches[0], strict=True))


def test_generators_of_samples_are_no_others():
    drawn = [sample_rng(*key) for key in ((0, 1, 2), (0, 2, 1), (1, 1, 2), (0, 1, 3))] + [batch_rng(0, 1, 2)]
    assert len({generator.random() for generator in drawn}) == 5


def test_samples_are_loaded_ahead_but_not_all_at_once(data):
    def batches():
        for index in range(24):
            begun.append(index)
            yield np.array([index])

    begun = []
    loader = load_samples(data, batches())
    assert not begun
    for count in range(1, 4):
        next(loader)
        assert len(begun) == AHEAD + count
    loader.close()
    assert len(begun) == AHEAD + 3


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interrupted_loop_leaves_no_threads(data, error):
    def interrupted():
        for _ in load_samples(data, [np.arange(8)] * 100):
            raise error

    before = threading.active_count()
    with pytest.raises(error):
        interrupted()
    assert threading.active_count() == before


def test_an_error_in_a_thread_is_raised_in_its_batch(data):
    def fail(sample, rng):
        if sample.image[0, 0, 0] == 7:
            raise OSError("no such file")
        return sample

    loader = load_samples(data, np.arange(5, 9).reshape(2, 2), fail)
    assert len(next(loader)) == 2
    with pytest.raises(OSError, match="no such file"):
        next(loader)


def _padded(*changes):
    return padded_batch([*changes, SegmentationSample(np.zeros((3, 2, 2), np.uint8), np.zeros((2, 2), np.uint8))])


ONE_CHANNEL = SegmentationSample(np.zeros((1, 2, 2), np.uint8), np.zeros((2, 2), np.uint8))
IMAGES, SIZES = np.zeros((2, 3, 4, 4), np.uint8), np.full((2, 2), 4)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda data: padded_batch([]), "samples"),
        (lambda data: padded_batch(data[0]), "samples"),
        (lambda data: _padded(None), "samples"),
        (lambda data: _padded(ONE_CHANNEL), "samples"),
        (lambda data: _padded(load_detection_scenes(count=1, size=32)[0]), "samples"),
        (lambda data: padded_batch([data[0]], 0), "divisor"),
        (lambda data: normalize_padded(IMAGES, SIZES[:1], (0.5,) * 3, (0.5,) * 3), "sizes"),
        (lambda data: normalize_padded(IMAGES, SIZES * 1.0, (0.5,) * 3, (0.5,) * 3), "sizes"),
        (lambda data: normalize_padded(IMAGES, SIZES, (0.5,), (0.5,) * 3), "mean"),
        (lambda data: sample_statistics([]), "samples"),
        (lambda data: sample_statistics(3), "samples"),
        (lambda data: sample_statistics([data[0], ONE_CHANNEL]), "samples"),
        (lambda data: load_samples([], []), "dataset"),
        (lambda data: load_samples(data, 3), "index_batches"),
        (lambda data: list(load_samples(data, [[0, 1]])), "index_batches"),
        (lambda data: list(load_samples(data, np.full((1, 2), 24))), "index_batches"),
        (lambda data: load_samples(data, [], 3), "augment"),
        (lambda data: load_samples(data, [], None, -1), "seed"),
        (lambda data: load_samples(data, [], None, 0, 0.5), "epoch"),
    ],
)
def test_bad_arguments_are_named(data, call, name):
    with pytest.raises(ValueError, match=f"^{name}"):
        call(data)
