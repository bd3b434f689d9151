"""Images that a port prepares in another way are described from its first tensor, in any combination."""

import numpy as np
import pytest

from npswin.data import CIFAR10_MEAN, IMAGENET_MEAN, IMAGENET_STD
from npswin.verify import diagnose
from npswin.verify.graph import Arithmetic, Run
from npswin.verify.mistakes.arrangements import arrangements, in_key_order
from npswin.verify.mistakes.normalization import CLIP_MEAN, CLIP_STD
from npswin.verify.mistakes.preprocessing import PREPROCESSING
from tests.verify.keys import miniature_trace


def pixels():
    return np.asarray(miniature_trace().sources["pixels"], np.float64)


def channels(values):
    return np.reshape(values, (-1, 1, 1))


MEAN, STD = channels(IMAGENET_MEAN), channels(IMAGENET_STD)


def normalized(x, mean=IMAGENET_MEAN, std=IMAGENET_STD):
    return (x / 255 - channels(mean)) / channels(std)


def dump(image, precision="float32", without=()):
    """Every activation of a port that is right but for its image."""
    key = miniature_trace()
    image = Run(key.graph, {**key.sources, "input": image}, Arithmetic(precision)).value("input")
    run = Run(key.graph, {**key.sources, "input": image}, Arithmetic(precision, 3))
    return {name: run.value(name) for name in key.graph.computed if name not in without}


def words_of(tensors):
    diagnosis = diagnose(miniature_trace(), tensors)
    assert not diagnosis.unexplained, str(diagnosis)
    (cause,) = diagnosis.causes
    assert cause.hypothesis.name == "normalization"
    assert cause.symptom in ("input", "patch_embed.proj")
    return cause.hypothesis.detail


CASES = {
    "the mean of BGR in 0..255, as in Caffe": (
        lambda x: x[:, ::-1] - 255 * MEAN[::-1],
        "the channels are in the order blue, green, red; the key's mean, times 255, is subtracted, and nothing is "
        "divided",
    ),
    "BGR from 0 to 1": (
        lambda x: x[:, ::-1] / 255,
        "the channels are in the order blue, green, red; pixels are divided by 255 and not normalized",
    ),
    "0 to 255": (
        lambda x: x[:, [1, 0, 2]],
        "the channels are in the order green, red, blue; pixels are not divided by 255 and not normalized",
    ),
    "-1 to 1, upside down": (
        lambda x: x[:, :, ::-1] / 127.5 - 1,
        "the image is upside down; pixels are divided by 255, then normalized with mean 0.5 and deviation 0.5",
    ),
    "OpenCLIP": (
        lambda x: normalized(x, CLIP_MEAN, CLIP_STD),
        "pixels are divided by 255, then normalized with OpenCLIP's mean and deviation",
    ),
    "CIFAR's mean, ImageNet's deviation": (
        lambda x: normalized(x, CIFAR10_MEAN, IMAGENET_STD),
        "pixels are divided by 255, then normalized with CIFAR-10's mean and the key's deviation",
    ),
    "no deviation": (
        lambda x: normalized(x, std=(1, 1, 1)),
        "pixels are divided by 255, then normalized with the key's mean and no deviation",
    ),
    "divided twice": (
        lambda x: normalized(x / 255),
        "pixels are divided by 255 twice, then normalized with the key's mean and deviation",
    ),
    "normalized twice": (
        lambda x: normalized(255 * normalized(x)),
        "pixels are normalized twice, with the key's mean and deviation",
    ),
    "unknown numbers": (
        lambda x: normalized(x, (0.4, 0.41, 0.42), (0.3, 0.2, 0.25)),
        "(pixel / 255 - mean) / deviation with mean 0.4, 0.41, 0.42 and deviation 0.3, 0.2, 0.25",
    ),
    "gray": (
        lambda x: normalized(np.einsum("c,bchw->bhw", [0.299, 0.587, 0.114], x)[:, None].repeat(3, 1)),
        "the image is gray, 0.299 red + 0.587 green + 0.114 blue",
    ),
    "red for all": (lambda x: normalized(x[:, [0, 0, 0]]), "the channels are in the order red, red, red"),
    "the batch's own": (
        lambda x: (x - x.mean((0, 2, 3), keepdims=True)) / x.std((0, 2, 3), keepdims=True),
        "pixels are divided by 255, then normalized with the batch's own mean and deviation",
    ),
}


@pytest.mark.parametrize("without", [(), ("input",)], ids=["from input", "from the patch embedding"])
@pytest.mark.parametrize("name", CASES)
def test_a_linear_map_of_the_channels_is_described(name, without):
    prepare, words = CASES[name]
    assert words_of(dump(prepare(pixels()), without=without)) == words


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (
            lambda x: (x - x.mean((1, 2, 3), keepdims=True)) / x.std((1, 2, 3), keepdims=True),
            "pixels are normalized with the mean and deviation of each image",
        ),
        (
            lambda x: (x - x.min((2, 3), keepdims=True)) / np.ptp(x, (2, 3), keepdims=True),
            "pixels are normalized with the smallest number and range of each channel of each image",
        ),
        (
            lambda x: normalized(x) * np.array([1.0, 1.2]).reshape(-1, 1, 1, 1),
            "image 0: as in the key; image 1: (pixel / 255 - mean) / deviation with mean 0.485, 0.456, 0.406 and "
            "deviation 0.1908, 0.1867, 0.1875",
        ),
        (
            lambda x: normalized(x).transpose(0, 2, 3, 1).reshape(x.shape),
            "the memory, channels last, is read as (channels, H, W)",
        ),
        (
            lambda x: normalized(np.pad(x, ((0, 0), (0, 0), (1, 0), (0, 0)))[:, :, :-1]),
            "the image is moved down by one and black is brought in",
        ),
        (
            lambda x: normalized(np.roll(x, (-1, 1), (2, 3))[:, ::-1]),
            "the image is moved up by one and right by one cyclically; the channels are in the order blue, green, red; "
            "pixels are divided by 255, then normalized with the key's reversed mean and deviation",
        ),
    ],
    ids=["own mean", "own range", "own factor", "channels last", "moved", "rolled, and BGR before the mean"],
)
def test_other_places_and_own_statistics_are_described_from_the_input(prepare, words):
    assert words_of(dump(prepare(pixels()))) == words


def test_the_numbers_are_recognized_in_bfloat16():
    words = words_of(dump(pixels()[:, ::-1] / 255, "bfloat16"))
    assert words == "the channels are in the order blue, green, red; pixels are divided by 255 and not normalized"


def test_the_order_of_channels_that_are_nearly_alike():
    """As in most photographs: two channels differ by 1 %."""
    rng = np.random.default_rng(0)
    gray = rng.uniform(20, 230, (2, 1, 12, 10))
    photograph = gray + rng.normal(0, 0.6, (2, 3, 12, 10))
    key = miniature_trace()
    run = Run(key.graph, {**key.sources, "pixels": photograph})
    fits = list(PREPROCESSING[0].fit(run, "input", photograph[:, ::-1] / 255, "input"))
    assert [detail for detail, _ in fits] == [CASES["BGR from 0 to 1"][1]]


def test_an_image_of_one_channel_or_of_zeros_is_no_other_preparation():
    tensors = dump(np.zeros_like(pixels()))
    diagnosis = diagnose(miniature_trace(), tensors)
    assert [cause.hypothesis.name for cause in diagnosis.causes] == ["never-written"]


def test_an_arrangement_has_an_inverse():
    x = np.arange(2 * 3 * 4 * 4).reshape(2, 3, 4, 4)
    for arrangement in arrangements(x.shape, moved=False):
        assert np.array_equal(in_key_order(arrangement, arrangement.apply(x)), x), arrangement.words
