"""With which mean and deviation a program that trains normalizes images: options, a file of weights, or neither."""

import argparse
from pathlib import Path
from typing import Any

from npswin.checks import check_numbers
from npswin.data import IMAGENET_MEAN, IMAGENET_STD
from npswin.data.dataset import check_normalization
from npswin.files import shown_path
from npswin.training.normalization import NAMES, Normalization, read_normalization
from npswin.weights import TensorFile

OPTIONS = ("--mean", "--std")
_CHANNELS = 3  # of the images of all presets


def add_normalization_options(parser: argparse.ArgumentParser) -> None:
    """Add --mean and --std."""
    mean = (
        "mean of the channels, with which images are normalized, of pixels from 0 to 1; with --std (default: what the "
        "file of --weights or --backbone has, as those of npswin's runs do; where another program wrote it, "
        "ImageNet's; else the training images' own)"
    )
    for option, text in zip(OPTIONS, (mean, "standard deviation of the channels (default: see --mean)"), strict=True):
        parser.add_argument(option, type=float, nargs=_CHANNELS, metavar=("R", "G", "B"), help=text)


def normalization_of_options(arguments: argparse.Namespace) -> Normalization | None:
    """The numbers of --mean and --std; None where neither is given.

    Raises:
        ValueError: one of them is given alone, or a number is out of its range.
    """
    given = arguments.mean, arguments.std
    if given == (None, None):
        return None
    for option, other, numbers in zip(OPTIONS, reversed(OPTIONS), given, strict=True):
        if numbers is None:
            raise ValueError(f"{option}: not given, expected it with {other}")
        if max(numbers) > 1:
            raise ValueError(f"{option}: got {max(numbers):g}, expected numbers for pixels from 0 to 1: divide by 255")
    check_numbers(OPTIONS[0], given[0], _CHANNELS, at_least=0)
    return check_normalization(OPTIONS, given, _CHANNELS, arguments.dtype)


def chosen_normalization(arguments: argparse.Namespace) -> Any:
    """What a `Trainer` takes as `normalization`; a line about it is printed where weights are loaded.

    Called before data are loaded, which may take long.

    Args:
        arguments: a command's.

    Returns:
        The numbers of --mean and --std; else, of the file of --weights or --backbone, its path if its metadata have
        mean and deviation, and ImageNet's if it is not one of npswin's; else None, for the training images' own.

    Raises:
        WeightFileError: the file cannot be read, or its mean and deviation are damaged.
        ValueError: see `normalization_of_options`.
    """
    given, path = normalization_of_options(arguments), arguments.weights or getattr(arguments, "backbone", None)
    if given is not None or path is None:
        return given
    metadata, file = TensorFile(path).metadata, shown_path(path)
    if metadata.keys() & set(NAMES):
        mean, std = read_normalization(path)
        print(f"images are normalized as those that {file} was trained on: {_shown(mean, std)}")
        return Path(path)
    others = "--mean and --std give others"
    if "config" in metadata:  # the `save` of a model writes it
        print(f"{file} has no mean and deviation: images are normalized by their own; {others}")
        return None
    imagenet = f"images are normalized by ImageNet's, {_shown(IMAGENET_MEAN, IMAGENET_STD)}"
    print(f"{file} has no mean and deviation, and is not one that npswin wrote: {imagenet}; {others}")
    return IMAGENET_MEAN, IMAGENET_STD


def _shown(mean: tuple[float, ...], std: tuple[float, ...]) -> str:
    numbers = (" ".join(f"{number:.4g}" for number in one) for one in (mean, std))
    return "mean {}, deviation {}".format(*numbers)
