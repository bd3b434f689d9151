"""The images of each step, and its random numbers: functions of (seed, epoch, step) alone.

Nothing here has state, so a run that is stopped after any step and resumed gets the same batches and the same
augmentation as one that is never stopped.
"""

from collections.abc import Iterator

import numpy as np

from npswin.checks import check_integer, check_size
from npswin.types import Array

# First part of the spawn keys, so that shuffles, steps and samples never share a stream of random numbers.
_SHUFFLE_STREAM, _STEP_STREAM, _SAMPLE_STREAM = 1, 2, 3


def steps_per_epoch(dataset_size: int, batch_size: int) -> int:
    """The number of batches of `epoch_batches`.

    Args:
        dataset_size: number of images, at least 1.
        batch_size: images per batch, at least 1.

    Returns:
        The number of whole batches, or 1 where the data set is smaller than a batch.

    Raises:
        ValueError: an argument is no integer, or below 1.
    """
    return max(check_size("dataset_size", dataset_size) // check_size("batch_size", batch_size), 1)


def epoch_batches(dataset_size: int, batch_size: int, seed: int, epoch: int) -> Iterator[Array]:
    """Shuffle a data set for one epoch and cut it into batches.

    Images that do not fill a last batch are left out in this epoch, so that each step averages over the same number
    of images. A data set smaller than a batch is one batch.

    Args:
        dataset_size: number of images, at least 1.
        batch_size: images per batch, B, at least 1.
        seed: the run's seed, a non-negative integer.
        epoch: number of the epoch, from 0.

    Returns:
        An iterator of int64 index arrays (B,). No image occurs twice.

    Raises:
        ValueError: an argument is no integer, a size is below 1, or seed or epoch is negative.
    """
    steps = steps_per_epoch(dataset_size, batch_size)
    dataset_size, batch_size = int(dataset_size), int(batch_size)
    order = _generator(_SHUFFLE_STREAM, seed, epoch=epoch).permutation(dataset_size)
    return (order[step * batch_size : (step + 1) * batch_size] for step in range(steps))


def batch_rng(seed: int, epoch: int, step: int) -> np.random.Generator:
    """The generator of all random numbers of one step: augmentation, dropout, drop path.

    Args:
        seed: the run's seed, a non-negative integer.
        epoch: number of the epoch, from 0.
        step: number of the step within the epoch, from 0.

    Returns:
        A new generator, independent of those of other steps and of the shuffles.

    Raises:
        ValueError: an argument is no integer, or negative.
    """
    return _generator(_STEP_STREAM, seed, epoch=epoch, step=step)


def sample_rng(seed: int, epoch: int, index: int) -> np.random.Generator:
    """The generator of the augmentation of one sample, which may be made in any order.

    Args:
        seed: the run's seed, a non-negative integer.
        epoch: number of the epoch, from 0.
        index: of the sample in the data set, from 0.

    Returns:
        A new generator, independent of those of other samples and epochs, of the steps and of the shuffles.

    Raises:
        ValueError: an argument is no integer, or negative.
    """
    return _generator(_SAMPLE_STREAM, seed, epoch=epoch, index=index)


def _generator(stream: int, seed: int, **counters: int) -> np.random.Generator:
    seed = check_integer("seed", seed, 0)
    key = (stream, *(check_integer(name, value, 0) for name, value in counters.items()))
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
