import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npswin.data.dataset import ImageDataset, channel_statistics, normalize


def images(count=4, dtype=np.uint8, channels=3):
    largest = 65535 if dtype == np.uint16 else 255
    return np.random.default_rng(0).integers(0, largest + 1, (count, channels, 5, 6)).astype(dtype)


def test_length_of_a_data_set():
    assert len(ImageDataset(images(), np.array([0, 1, 1, 0]), ("a", "b"), "letters", "train")) == 4


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 11])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_data_set_has_any_number_of_channels_in_8_or_16_bits(channels, dtype):
    pixels = images(dtype=dtype, channels=channels)
    assert ImageDataset(pixels, np.array([0, 1, 1, 0]), ("a", "b"), "letters", "train").images is pixels


@pytest.mark.parametrize(
    ("pixels", "labels", "match"),
    [
        (images()[0], np.zeros(3, np.int64), "images"),
        (images()[:, :0], np.zeros(4, np.int64), "images"),
        (images(dtype=np.int16), np.zeros(4, np.int64), "got int16 .*expected uint8 or uint16"),
        (images(dtype=np.dtype(">u2")), np.zeros(4, np.int64), "got >u2 .*expected uint8 or uint16"),
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


@given(
    st.sampled_from([np.float16, np.float32, np.float64]),
    st.sampled_from([np.uint8, np.uint16, np.float32, np.float64]),
    st.integers(1, 11),
)
def test_normalize_is_its_formula(dtype, input_dtype, channels):
    pixels = images(dtype=input_dtype, channels=channels)
    mean, std = np.linspace(0.5, 0.3, channels), np.linspace(0.2, 0.4, channels)
    result = normalize(pixels, mean, std, dtype)
    assert result.dtype == dtype
    white = 65535 if input_dtype == np.uint16 else 255
    for channel in range(channels):
        expected = (pixels[:, channel].astype(np.float64) / white - mean[channel]) / std[channel]
        np.testing.assert_allclose(result[:, channel], expected, rtol=0, atol=50 * np.finfo(dtype).eps)


def test_normalize_does_not_change_its_input():
    pixels = images(dtype=np.float32)
    before = pixels.copy()
    normalize(pixels, (0.5,) * 3, (0.2,) * 3, np.float32)
    np.testing.assert_array_equal(pixels, before)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 11])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_statistics_normalize_to_mean_0_and_deviation_1(channels, dtype):
    pixels = images(200, dtype, channels)
    result = normalize(pixels, *channel_statistics(pixels), np.float64)
    np.testing.assert_allclose(result.mean((0, 2, 3)), 0, atol=1e-12)
    np.testing.assert_allclose(result.std((0, 2, 3)), 1, atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((images()[0], (0.5,) * 3, (0.2,) * 3), "images"),
        ((images().astype(np.int64), (0.5,) * 3, (0.2,) * 3), "int64"),
        ((images(), (0.5,) * 2, (0.2,) * 3), "mean"),
        ((images().transpose(0, 2, 3, 1), (0.5,) * 3, (0.2,) * 3), r"images, mean: .*transpose\(0, 3, 1, 2\)"),
        ((images(channels=4), (0.5,) * 3, (0.2,) * 4), "mean: .* expected 4 numbers"),
        ((images(channels=1), (0.5,), (0.2,) * 3), "std: .* expected 1 number"),
        ((images().astype(">u2"), (0.5,) * 3, (0.2,) * 3), ">u2"),
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
