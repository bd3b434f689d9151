"""Images that a port prepared in another way are told in words, with exact numbers, from `input` alone."""

import numpy as np
import pytest

from npswin.data import IMAGENET_MEAN, IMAGENET_STD
from npswin.verify import diagnose
from npswin.verify.fits.interpolation import interpolation
from npswin.verify.graph import Run
from npswin.verify.mistakes.colour_spaces import colour_maps
from npswin.verify.mistakes.normalization import normalizing
from npswin.verify.mistakes.pixels.fit import explained
from npswin.verify.mistakes.pixels.prepared import Images
from tests.verify.keys import miniature_trace

MEAN, STD = np.array(IMAGENET_MEAN), np.array(IMAGENET_STD)
PIXELS = np.random.default_rng(0).integers(0, 256, (3, 3, 12, 14)).astype(np.float64)
NORMALIZE = normalizing(MEAN, STD).apply


def images(found):
    return Images(PIXELS, np.asarray(found, np.float32).astype(np.float64), MEAN, STD, 1e-6)


def linear_light(x):
    p = x / 255
    return 255 * np.where(p <= 0.04045, p / 12.92, ((p + 0.055) / 1.055) ** 2.4)


def rows_filled_up(x, multiple=16):
    """Rows of a plane are filled up, and read as if they lay side by side."""
    planes = np.pad(x, ((0, 0),) * 3 + ((0, -x.shape[3] % multiple),)).reshape(*x.shape[:2], -1)
    return planes[..., : x.shape[2] * x.shape[3]].reshape(x.shape)


def image_stride_without_channels(x):
    size, flat = x[0, 0].size, x.reshape(-1)
    return np.stack([flat[b * size : (b + 3) * size].reshape(x.shape[1:]) for b in range(len(x))])


def resized(x, height, width, method):
    return interpolation(method, height, x.shape[2]) @ x @ interpolation(method, width, x.shape[3]).T


def enlarged_and_cut(x, method="bilinear"):
    return resized(x, 14, 16, method)[:, :, 1:13, 1:15]


def by_pillow(x, method="bicubic, smoothed (antialias), as Pillow has it"):
    """First along the rows, then along the columns, with 8 bits after each."""
    for axis, size in ((3, 16), (2, 14)):
        weights = np.rint(interpolation(method, size, x.shape[axis]) * 2**22) / 2**22
        x = np.moveaxis(np.tensordot(weights, x, (1, axis)), 0, axis)
        x = np.clip(np.floor(x + 0.5), 0, 255)
    return x[:, :, 1:13, 1:15]


def blurred(x):
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="reflect")
    parts = [padded[:, :, 1:-1, 1:-1] * 4, padded[:, :, :-2, 1:-1], padded[:, :, 2:, 1:-1]]
    return sum([*parts, padded[:, :, 1:-1, :-2], padded[:, :, 1:-1, 2:]]) / 8


def moved(x, mode="constant"):
    return np.pad(x, ((0, 0), (0, 0), (3, 0), (0, 2)), mode=mode)[:, :, :-3, 2:]


def of_one_image(function, place, x):
    return np.stack([function(one[None])[0] if at == place else one for at, one in enumerate(x)])


BEFORE = {  # functions of the pixels, which are then normalized
    "sRGB values are made linear (the gamma is undone)": linear_light,
    "sRGB values are made linear (the gamma is undone), rounded to integers": lambda x: np.rint(linear_light(x)),
    "a gamma is applied: 255 (pixel / 255)^(1 / 2.2)": lambda x: 255 * (x / 255) ** (1 / 2.2),
    "a gamma is applied: 255 (pixel / 255)^(1.37)": lambda x: 255 * (x / 255) ** 1.37,
    "the lowest bit is dropped": lambda x: x // 2 * 2,
    "pixels have 7 bits: pixel >> 1, not shifted back": lambda x: x // 2,
    "pixels are rounded to 5 levels: round(4 p) / 4 with p = pixel / 255": lambda x: np.rint(x / 255 * 4) / 4 * 255,
    "(limited range), rounded to integers": lambda x: np.rint(16 + x * 219 / 255),
    "pixels are limited, at least 10 and at most 240": lambda x: np.clip(x, 10, 240),
    "1.2 pixel, at most 255": lambda x: np.clip(1.2 * x, 0, 255),
    "pixels below 104 wrap around and are larger by 256, as where 104 is subtracted": lambda x: (x - 104) % 256 + 104.5,
    "0.8 pixel + 10, cut to integers": lambda x: np.trunc(0.8 * x + 10),
    "pixels from 128 on are inverted: 255 - pixel (solarized)": lambda x: np.where(x < 128, x, 255 - x),
    "pixels are 0 below 100 and 255 from it on": lambda x: np.where(x < 100, 0, 255),
    "10 is added modulo 256": lambda x: (x + 10) % 256,
    "through a function: 0 becomes 0, 64 becomes 145.2": lambda x: 255 * np.arctan(x / 100),
    "channels red, blue: as in the key; channel green: pixels are squared: pixel² / 255": lambda x: np.stack(
        [x[:, 0], x[:, 1] ** 2 / 255, x[:, 2]], 1
    ),
    "images 0, 2: as in the key; image 1: sRGB values": lambda x: of_one_image(linear_light, 1, x),
    "images 0, 1: as in the key; image 2: the image is mirrored": lambda x: of_one_image(lambda y: y[..., ::-1], 2, x),
    "channels red, green: as in the key; channel blue: the image is upside down": lambda x: np.concatenate(
        [x[:, :2], x[:, 2:, ::-1]], 1
    ),
    "W = 14 to 16 numbers (a multiple of 4, 8, 16), and row y begins at y·W = y·14, not at y·W, filled": rows_filled_up,
    "image b begins at b·H·W = b·168, not at b·channels·H·W = b·504": image_stride_without_channels,
    "the memory is read as (channels, B, H, W), without gaps": lambda x: x.transpose(1, 0, 2, 3).reshape(x.shape),
    "the memory is (B, H, channels, W), and the": lambda x: x.transpose(0, 2, 1, 3).reshape(x.shape),
    "read from number -54 on; outside of the memory there is 0": lambda x: np.concatenate(
        [np.zeros(54), x.reshape(-1)[:-54]]
    ).reshape(x.shape),
    "moved 3 rows down and 2 columns to the left; black comes in": moved,
    "moved 3 rows down and 2 columns to the left; the edge is repeated": lambda x: moved(x, "edge"),
    "rows are others of the key's: 0, 2, 4, 6, 8, 10, 1, 3, ...": lambda x: x[
        :, :, [*range(0, 12, 2), *range(1, 12, 2)]
    ],
    "resized to 14 and entries 1 to 12 are taken, at the centre (bilinear); along": enlarged_and_cut,
    "it is resized to 10 and back (bilinear); along the rows, it is resized to 12 and back": lambda x: resized(
        resized(x, 10, 12, "bilinear"), 12, 14, "bilinear"
    ),
    "at the centre (bicubic); along the rows, it is resized to 16 and entries 1 to 14 are taken, at the centre "
    "(bicubic); rounded to integers": lambda x: np.clip(np.rint(enlarged_and_cut(x, "bicubic")), 0, 255),
    "rounded to integers after each axis, as Pillow does it": by_pillow,
    "row i is from 2.25 + 0.5 i, of 2 of the key's; column i is itself": lambda x: (
        interpolation("bilinear", 24, 12)[5:17] @ x
    ),
    "it is cropped to entries 2 to 7 and resized to 12 (bilinear)": lambda x: (
        interpolation("bilinear", 12, 6) @ x[:, :, 2:8]
    ),
    "with weights 0, 0.125, 0; 0.125, 0.5, 0.125; 0, 0.125, 0; the image mirrored at the edge": blurred,
    "the image is a sum: 0.5 × itself + 0.5 × mirrored, left to right": lambda x: (x + x[..., ::-1]) / 2,
    "image 0 is 0.7 × image 0 + 0.3 × image 2": lambda x: 0.7 * x + 0.3 * x[::-1],
    "the channels are Y, Cb, Cr (BT.601, 0 ... 255), rounded to integers": lambda x: np.clip(
        np.rint(np.einsum("ij,bjhw->bihw", ycbcr()[0], x) + ycbcr()[1][:, None, None]), 0, 255
    ),
}
AFTER = {  # functions of the normalized pixels
    "2 columns to the left after its normalization, and zeros come in": moved,
    "without gaps; this is done after the normalization": lambda x: x.transpose(1, 0, 2, 3).reshape(x.shape),
}


def ycbcr():
    return dict(colour_maps())["the channels are Y, Cb, Cr (BT.601, 0 ... 255)"]


@pytest.mark.parametrize("words", BEFORE)
def test_what_was_done_before_the_normalization(words):
    explanation = explained(images(NORMALIZE(BEFORE[words](PIXELS))))
    assert explanation is not None
    assert words in explanation.words


@pytest.mark.parametrize("words", AFTER)
def test_what_was_done_after_the_normalization(words):
    explanation = explained(images(AFTER[words](NORMALIZE(PIXELS))))
    assert explanation is not None
    assert words in explanation.words


def test_other_pixels_are_not_explained():
    """Noise, a part that was erased, other images; each time nothing is better than a wrong cause."""
    rng = np.random.default_rng(1)
    right = NORMALIZE(PIXELS)
    erased = right.copy()
    erased[:, :, 2:7, 3:9] = 0
    others = NORMALIZE(rng.integers(0, 256, PIXELS.shape).astype(float))
    dropped = right * (rng.uniform(size=right.shape) > 0.1)
    for found in (right + 0.01 * rng.standard_normal(right.shape), erased, others, dropped):
        assert explained(images(found)) is None


SENTENCES = {
    "(pixel / 255) / 0.226 - mean / deviation with the key's mean and deviation": lambda x: (
        x / 255 / 0.226 - (MEAN / STD)[:, None, None]
    ),
    "channels red, green: as in the key; channel blue: pixels are divided by 255 and not normalized": lambda x: (
        np.concatenate([NORMALIZE(x)[:, :2], x[:, 2:] / 255], 1)
    ),
    "the channels are Y, U, V": lambda x: NORMALIZE(
        np.einsum("ij,bjhw->bihw", [[0.299, 0.587, 0.114], [-0.14713, -0.28886, 0.436], [0.615, -0.51499, -0.10001]], x)
    ),
    "pixels are inverted: 255 - pixel is normalized": lambda x: NORMALIZE(255 - x),
    "pixels are brought from 0 ... 255 to 16 ... 235 (limited range), then normalized": lambda x: NORMALIZE(
        16 + x * 219 / 255
    ),
    "0.8 pixel + 20 is normalized in place of the pixel": lambda x: NORMALIZE(0.8 * x + 20),
    "the channels are Y, Cb, Cr (BT.601, 0 ... 255)": lambda x: NORMALIZE(
        np.einsum("ij,bjhw->bihw", ycbcr()[0], x) + ycbcr()[1][:, None, None]
    ),
    "image 0: as in the key; image 1: pixels are divided by 255 and not normalized": lambda x: np.concatenate(
        [NORMALIZE(x[:1]), x[1:] / 255]
    ),
    "sRGB values are made linear (the gamma is undone)": lambda x: NORMALIZE(linear_light(x)),
    "image b begins at b·H·W = b·140, not at b·channels·H·W = b·420": lambda x: NORMALIZE(
        image_stride_without_channels(x)
    ),
}


@pytest.mark.parametrize("words", SENTENCES)
def test_the_diagnosis_of_a_whole_port(words):
    key = miniature_trace()
    found = SENTENCES[words](np.asarray(key.sources["pixels"], np.float64)).astype(np.float32)
    run = Run(key.graph, {**key.sources, "input": found})
    diagnosis = diagnose(key, {name: np.float32(run.value(name)) for name in ("input", "patch_embed.proj")})
    assert not diagnosis.unexplained, str(diagnosis)
    (cause,) = diagnosis.causes
    assert words in str(cause)


def test_noise_is_not_explained_where_the_tolerance_is_large():
    """As in half precision: what hardly changes the images agrees with them, and explains nothing."""
    noise = 0.01 * np.random.default_rng(2).standard_normal(PIXELS.shape)
    assert explained(Images(PIXELS, NORMALIZE(PIXELS) + noise, MEAN, STD, 3e-4)) is None
