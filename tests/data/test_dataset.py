import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npswin.data.dataset import ImageDataset, channel_statistics, normalize


def images(count=4, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, 256, (count, 3, 5, 6)).astype(dtype)


def test_length_of_a_data_set():
    assert len(ImageDataset(images(), np.array([0, 1, 1, 0]), ("a", "b"), "letters", "train")) == 4


@pytest.mark.parametrize(
    ("pixels", "labels", "match"),
    [
        (images()[0], np.zeros(3, np.int64), "images"),
        (images()[:, :2], np.zeros(4, np.int64), "images"),
        (images(dtype=np.float32), np.zeros(4, np.int64), "float32"),
        (images(0), np.zeros(0, np.int64), "images"),
        (images(), np.zeros(3, np.int64), r"labels.*\(3,\).*\(4,\)"),
        (images(), np.zeros(4, np.int32), "int32"),
        (images(), np.zeros((4, 1), np.int64), "labels"),
        (images(), np.array([0, 1, 2, 0]), "0 to 2"),
        (images(), np.array([0, 1, -1, 0]), "-1"),
    ],
)
def test_bad_data_is_refused(pixels, labels, match):
    with pytest.raises(ValueError, match=match):
        ImageDataset(pixels, labels, ("a", "b"), "letters", "train")


@given(st.sampled_from([np.float32, np.float64]), st.sampled_from([np.uint8, np.float32, np.float64]))
def test_normalize_is_its_formula(dtype, input_dtype):
    pixels = images(dtype=input_dtype)
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.1)
    result = normalize(pixels, mean, std, dtype)
    assert result.dtype == dtype
    for colour in range(3):
        expected = (pixels[:, colour].astype(np.float64) / 255 - mean[colour]) / std[colour]
        np.testing.assert_allclose(result[:, colour], expected, rtol=0, atol=50 * np.finfo(dtype).eps)


def test_normalize_does_not_change_its_input():
    pixels = images(dtype=np.float32)
    before = pixels.copy()
    normalize(pixels, (0.5,) * 3, (0.2,) * 3, np.float32)
    np.testing.assert_array_equal(pixels, before)


def test_statistics_normalize_to_mean_0_and_deviation_1():
    pixels = images(200)
    result = normalize(pixels, *channel_statistics(pixels), np.float64)
    np.testing.assert_allclose(result.mean((0, 2, 3)), 0, atol=1e-12)
    np.testing.assert_allclose(result.std((0, 2, 3)), 1, atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((images()[0], (0.5,) * 3, (0.2,) * 3), "images"),
        ((images().astype(np.int64), (0.5,) * 3, (0.2,) * 3), "int64"),
        ((images(), (0.5,) * 2, (0.2,) * 3), "mean"),
        ((images(), (0.5, 0.5, np.nan), (0.2,) * 3), "mean"),
        ((images(), (0.5,) * 3, (0.2, 0.0, 0.2)), "std"),
        ((images(), (0.5,) * 3, (0.2,) * 4), "std"),
        ((images(), (0.5,) * 3, (0.2,) * 3, np.int32), "dtype"),
        ((images(), (0.5,) * 3, (0.2, 1e-40, 0.2)), "mean, std: got 0.5 and 1e-40, .* infinite in float32"),
        ((images(), (0.5, 0.5, 1e300), (0.2,) * 3), r"mean, std: got 1e\+300 and 0.2"),
        ((images(), (0.5,) * 3, (1e-320,) * 3, np.float64), "infinite in float64"),
    ],
)
def test_normalize_names_what_is_wrong(arguments, match):
    with pytest.raises(ValueError, match=match):
        normalize(*arguments)


def test_statistics_refuse_floats():
    with pytest.raises(ValueError, match="float32"):
        channel_statistics(images(dtype=np.float32))
