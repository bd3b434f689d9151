"""Mean and deviation of the channels, by which a run's images are normalized."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from npswin.checks import check_path, shown
from npswin.data.dataset import check_normalization
from npswin.files import parse_json, shortened, shown_path
from npswin.training.trainable import Trainable
from npswin.weights import TensorFile, WeightFileError

Normalization = tuple[tuple[float, ...], tuple[float, ...]]
NAMES = ("mean", "std")  # in the metadata of a run's checkpoints


def read_normalization(path: str | os.PathLike[str]) -> Normalization:
    """The mean and deviation of each channel with which a run's images were normalized.

        mean, std = npswin.training.read_normalization("runs/first/best.safetensors")
        logits = model(npswin.data.normalize(pixels, mean, std))

    Args:
        path: a checkpoint that a `Trainer` has saved, such as last.safetensors or best.safetensors.

    Returns:
        mean and std, a number for each channel, of pixels scaled to [0, 1].

    Raises:
        WeightFileError: it is no safetensors file, is damaged, or its metadata lack mean and deviation, as those of
            other programs do.
    """
    metadata = TensorFile(path).metadata
    if missing := [name for name in NAMES if name not in metadata]:
        expected = "expected a checkpoint of a run of npswin's, such as last.safetensors or best.safetensors"
        raise WeightFileError(f"{shown_path(path)}: its metadata lack {' and '.join(missing)}; {expected}")
    try:
        return _parsed(metadata, path)
    except WeightFileError:
        raise
    except ValueError as error:
        raise WeightFileError(f"{shown_path(path)}: damaged: {shortened(str(error))}") from error


def _parsed(metadata: Mapping[str, str], path: str | os.PathLike[str]) -> Normalization:
    values = [parse_json(metadata[name].encode(), path, WeightFileError) for name in NAMES]
    channels = max(len(values[0]), 1) if isinstance(values[0], list) else 1
    return check_normalization(NAMES, (values[0], values[1]), channels, "float64")


def given_normalization(given: str | os.PathLike[str] | Sequence[Any], model: Trainable) -> Normalization:
    """The mean and deviation that a run is given.

    Args:
        given: a checkpoint's path, or a pair (mean, std).
        model: which gets the normalized images.

    Raises:
        ValueError: the numbers do not fit the channels.
        WeightFileError: see `read_normalization`.
    """
    channels = model.in_chans
    names = ("normalization[0]", "normalization[1]")
    if isinstance(given, str | os.PathLike):
        mean, std = read_normalization(check_path("normalization", given, WeightFileError))
        if len(mean) != channels:
            found = f"has mean and deviation of {len(mean)} channels, the training images have {channels}"
            raise WeightFileError(f"{shown_path(given)}: {found}; give a pair (mean, std)")
        return check_normalization(names, (mean, std), channels, model.dtype)
    if not isinstance(given, list | tuple) or len(given) != 2:
        raise ValueError(f"normalization: got {shown(given)}, expected a checkpoint's path or a pair (mean, std)")
    return check_normalization(names, (given[0], given[1]), channels, model.dtype)


def own_normalization(statistics: Normalization) -> Normalization:
    """The mean and deviation of a run by those of its training images.

    Raises:
        ValueError: a channel is constant, so that there is no deviation to divide by.
    """
    mean, std = statistics
    if constant := [channel for channel, deviation in enumerate(std) if deviation <= 0]:
        numbers = ", ".join(map(str, constant))
        raise ValueError(
            f"train_data: got one value everywhere in channel {numbers} (of {len(std)}, counted from 0), expected no "
            "channel to be constant; leave such channels out, or give mean and deviation (--mean and --std, or "
            "normalization=)"
        )
    return mean, std
