"""The words for an affine map of the pixels' values, x = scale · pixel + offset for each channel.

A port that prepares images in another way multiplies and shifts the values by numbers that can be fitted. Here the
numbers are recognized: the mean and the deviation of a known data set, pixels that were not divided by 255, and so on.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from npswin.data import CIFAR10_MEAN, CIFAR10_STD, IMAGENET_MEAN, IMAGENET_STD
from npswin.types import Array

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
SETS = {"ImageNet's": (IMAGENET_MEAN, IMAGENET_STD), "CIFAR-10's": (CIFAR10_MEAN, CIFAR10_STD)}
SETS |= {"OpenCLIP's": (CLIP_MEAN, CLIP_STD)}
GRAY = (0.299, 0.587, 0.114)  # ITU-R BT.601
COLOURS = ("red", "green", "blue")
DIVISORS = {
    "divided by 255": 255.0,
    "not divided by 255": 1.0,
    "divided by 256": 256.0,
    "divided by 128": 128.0,
    "divided by 127.5": 127.5,
    "divided by 255 twice": 255.0**2,
}
SMALL = 1e-6  # a mean that is 0
RANGES = {
    "pixels are inverted: 255 - pixel is normalized": (-1.0, 255.0),
    "pixels are brought from 0 ... 255 to 16 ... 235 (limited range), then normalized": (219 / 255, 16.0),
    "pixels are taken for 16 ... 235 (limited range) and expanded, then normalized": (255 / 219, -16 * 255 / 219),
}
MOST_LISTED, MOST_NAMED = 4, 8  # ways of preparation, and images or channels of one
NEAR = 3e-3  # relative difference of fitted numbers from known ones; 1/255 and 1/256 differ by 4e-3
Statistics = Mapping[str, tuple[Array, Array]]  # by whose they are, such as "the key's": mean and deviation


@dataclass(frozen=True)
class Affine:
    """x = scale · pixel + offset, with numbers for each channel, and what it does in words."""

    words: str
    scale: Array
    offset: Array

    def apply(self, pixels: Array, **_: object) -> Array:
        """Images (B, c, H, W)."""
        return self.scale[:, None, None] * pixels + self.offset[:, None, None]

    def distance(self, scale: Array, offset: Array) -> float:
        """The largest difference from fitted numbers, relative to how large the values become."""
        span = np.abs(self.scale) * 255 + np.abs(self.offset)
        return float(np.max((np.abs(self.scale - scale) * 255 + np.abs(self.offset - offset)) / span))

    def of_channel(self, channel: int) -> "Affine":
        """That of one channel."""
        return Affine(self.words, *(array[channel : channel + 1] for array in (self.scale, self.offset)))

    def is_near(self, scale: Array, offset: Array) -> bool:
        """Whether fitted numbers are these."""
        return self.distance(scale, offset) <= NEAR


def normalizing(mean: Array, std: Array) -> Affine:
    """(pixel / 255 - mean) / std for each channel."""
    return Affine("as in the key", 1 / std / 255, -mean / std)


def recognized(scale: Array, offset: Array, statistics: Statistics) -> Affine:
    """The affine map in words; with the exact numbers if they are known, else with the fitted ones.

    Args:
        scale, offset: (c), fitted.
        statistics: mean and deviation (c) of pixels / 255: the key's first, and others that a port may take; those of
            well-known data sets are added.
    """
    nearest = min(_known(len(scale), statistics), key=lambda known: known.distance(scale, offset))
    if nearest.is_near(scale, offset):
        return nearest
    if np.abs(scale * 255).max() <= NEAR * max(np.abs(offset).max(), NEAR):
        return Affine(f"all pixels become {_numbers(np.unique(np.round(offset, 6)))}", scale, offset)
    right = normalizing(*next(iter(statistics.values())))
    slope, constant = scale / right.scale, (offset - right.offset) / right.scale
    if len(scale) > 1 and np.ptp(slope) <= NEAR * abs(slope[0]) and np.ptp(constant) <= NEAR * 255:
        return _changed_before(right, float(slope.mean()), float(constant.mean()))
    if len(scale) > 1 and np.ptp(scale) <= NEAR * abs(scale[0]) and np.abs(offset - right.offset).max() <= NEAR:
        words = f"(pixel / 255) / {1 / scale.mean() / 255:.4g} - mean / deviation with the key's mean and deviation"
        return Affine(words, scale, offset)
    of_channels = _by_channel([right, *usual_affines(len(scale), statistics)], scale, offset)
    if of_channels is not None:
        return of_channels
    with np.errstate(divide="ignore", invalid="ignore"):
        mean, std = -offset / scale / 255, 1 / scale / 255
    words = f"(pixel / 255 - mean) / deviation with mean {_numbers(mean)} and deviation {_numbers(std)}"
    return Affine(words, scale, offset)


def _by_channel(known: Sequence[Affine], scale: Array, offset: Array) -> Affine | None:
    """Channels of which each was prepared in a usual way, some as in the key; None where one was not."""
    chosen = []
    for channel in range(len(scale)):
        parts = [one.of_channel(channel) for one in known]
        here = scale[channel : channel + 1], offset[channel : channel + 1]
        near = [part for part in parts if part.is_near(*here)]
        if not near:
            return None
        chosen.append(near[0])
    words = [one.words for one in chosen]
    if known[0].words not in words:
        return None
    names = COLOURS if len(scale) == len(COLOURS) else tuple(map(str, range(len(scale))))
    text = places_in_words("channel", names, words)
    return Affine(text, *(np.concatenate([getattr(one, part) for one in chosen]) for part in ("scale", "offset")))


def _changed_before(right: Affine, slope: float, constant: float) -> Affine:
    """Pixels that become slope · pixel + constant and are then normalized, in words."""
    words, known, shift = min(
        ((words, *numbers) for words, numbers in RANGES.items()),
        key=lambda one: abs(one[1] - slope) * 255 + abs(one[2] - constant),
    )
    if abs(known - slope) * 255 + abs(shift - constant) > NEAR * 255:
        known, shift = slope, constant
        sign = f" {'+' if shift > 0 else '-'} {abs(shift):.4g}" if abs(shift) > NEAR else ""
        words = f"{known:.5g} pixel{sign} is normalized in place of the pixel"
    return Affine(words, right.scale * known, right.offset + right.scale * shift)


def usual_affines(channels: int, statistics: Statistics) -> Iterator[Affine]:
    """The ways to prepare pixels that are most often met.

    Args:
        channels: c.
        statistics: mean and deviation (c) of pixels / 255; the key's first.
    """
    ones, zeros = np.ones(channels), np.zeros(channels)
    whole, raw = "pixels are divided by 255", "pixels are not divided by 255"
    name, (mean, std) = next(iter(statistics.items()))
    for words, (m, s) in _sets(channels, statistics).items():
        yield Affine(f"{whole}, then normalized with {words} mean and deviation", 1 / s / 255, -m / s)
    yield Affine(f"{whole} and not normalized", ones / 255, zeros)
    yield Affine(f"{raw} and not normalized", ones, zeros)
    yield Affine(f"{whole}, then normalized with mean 0.5 and deviation 0.5", 2 * ones / 255, -ones)
    yield Affine(f"{raw}, then normalized with {name} mean and deviation", 1 / std, -mean / std)
    yield Affine(f"{name} mean, times 255, is subtracted, and nothing is divided", ones, -255 * mean)
    yield Affine(f"{whole}, then normalized with {name} mean and no deviation", ones / 255, -mean)


def _sets(channels: int, statistics: Statistics) -> dict[str, tuple[Array, Array]]:
    """The statistics, those of well-known data sets, and the first ones in reverse order."""
    sets = dict(statistics)
    if channels == len(COLOURS):
        sets |= {name: (np.array(mean), np.array(std)) for name, (mean, std) in SETS.items()}
    name, (mean, std) = next(iter(statistics.items()))
    return sets | {f"{name} reversed": (mean[::-1], std[::-1])}


def _known(channels: int, statistics: Statistics) -> Iterator[Affine]:
    """Known ways to prepare pixels, the usual ones first."""
    yield from usual_affines(channels, statistics)
    ones, zeros = np.ones(channels), np.zeros(channels)
    sets = _sets(channels, statistics)
    sets |= {
        f"{name} reversed": (mean[::-1], std[::-1]) for name, (mean, std) in sets.items() if "reversed" not in name
    }
    means, stds = ({f"{name} {part}": pair[i] for name, pair in sets.items()} for i, part in enumerate(_PARTS))
    means |= {"mean 0.5": ones / 2, "no mean": zeros}
    stds |= {"deviation 0.5": ones / 2, "no deviation": ones}
    units = {f"pixels are {words}": divisor for words, divisor in DIVISORS.items()}
    for unit, divisor in units.items():
        yield Affine(f"{unit} and not normalized", ones / divisor, zeros)
        yield Affine(f"{unit}, then 1 is subtracted", ones / divisor, -ones)
        for name, (m, s) in sets.items():
            yield Affine(f"{unit}, then normalized with {name} mean and deviation", 1 / s / divisor, -m / s)
    for unit, divisor in units.items():
        for mean, m in means.items():
            for std, s in stds.items():
                yield Affine(f"{unit}, then normalized with {mean} and {std}", 1 / s / divisor, -m / s)
    for name, (m, s) in sets.items():
        yield Affine(f"{name} mean, times 255, is subtracted, and nothing is divided", ones, -255 * m)
        yield Affine(f"pixels are normalized twice, with {name} mean and deviation", 1 / s**2 / 255, -m / s**2 - m / s)
        yield Affine(f"pixels are multiplied by {name} deviation, not divided", s / 255, -m * s)
        yield Affine(f"{name} mean is added, not subtracted", 1 / s / 255, m / s)
        yield Affine(f"pixels are divided by {name} deviation before the mean is subtracted", 1 / s / 255, -m)
        root = np.sqrt(s)
        yield Affine(f"{name} deviation is taken for a variance: its root divides", 1 / root / 255, -m / root)


def order_in_words(source: Sequence[int]) -> str:
    """The order of the channels, by the number of the key's channel that each one is; "" for the key's order."""
    if list(source) == list(range(len(source))):
        return ""
    names = COLOURS if len(source) == len(COLOURS) else tuple(map(str, range(len(source))))
    return f"the channels are in the order {', '.join(names[channel] for channel in source)}"


def weights_in_words(weights: Sequence[float]) -> str:
    """A sum of channels, such as "0.5 red + 0.5 green + 0 blue"."""
    number = len(weights)
    names = COLOURS if number == len(COLOURS) else [f"channel {channel}" for channel in range(number)]
    return " + ".join(f"{weight:.4g} {name}" for weight, name in zip(weights, names, strict=True))


def places_in_words(kind: str, names: Sequence[str], words: Sequence[str]) -> str:
    """What was done to each image or channel, those with the same words together; at most `MOST_LISTED`."""
    together: dict[str, list[str]] = {}
    for name, text in zip(names, words, strict=True):
        together.setdefault(text, []).append(name)
    listed = [
        f"{kind}{'s' * (len(which) > 1)} {', '.join(which[:MOST_NAMED])}{', ...' * (len(which) > MOST_NAMED)}: {text}"
        for text, which in together.items()
    ]
    return "; ".join(listed[:MOST_LISTED]) + "; ..." * (len(listed) > MOST_LISTED)


_PARTS = ("mean", "deviation")


def _numbers(values: Array) -> str:
    return ", ".join(f"{0.0 if abs(value) < SMALL else value:.4g}" for value in values)
