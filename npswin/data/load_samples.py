"""The samples of one batch after the other, read and augmented in background threads."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, TypeVar, overload

import numpy as np

from npswin.checks import check_array, check_callable, check_instance, check_integer, describe, shown
from npswin.data.batches import sample_rng
from npswin.data.reading_threads import reading_threads
from npswin.data.sample_datasets import DetectionDataset, SegmentationDataset
from npswin.data.samples import DetectionSample, SegmentationSample
from npswin.types import Array

AHEAD = 2  # batches that are prepared while one is used
MOST_THREADS = 8

T = TypeVar("T")

SegmentationAugment = Callable[[SegmentationSample, np.random.Generator], SegmentationSample]
DetectionAugment = Callable[[DetectionSample, np.random.Generator], DetectionSample]


@overload
def load_samples(
    dataset: SegmentationDataset,
    index_batches: Iterable[Array],
    augment: SegmentationAugment | None = None,
    seed: int = 0,
    epoch: int = 0,
) -> Iterator[list[SegmentationSample]]: ...
@overload
def load_samples(
    dataset: DetectionDataset,
    index_batches: Iterable[Array],
    augment: DetectionAugment | None = None,
    seed: int = 0,
    epoch: int = 0,
) -> Iterator[list[DetectionSample]]: ...
def load_samples(dataset, index_batches, augment=None, seed=0, epoch=0):  # type: ignore[no-untyped-def]
    """Load the samples of each batch, two batches ahead of the one that is used.

    The samples are functions of the arguments: how many threads there are, and which is faster, changes nothing. When
    the iterator is closed, or its loop is left, also by Ctrl-C, samples that are not begun are given up.

    Args:
        dataset: a `SegmentationDataset` or a `DetectionDataset`.
        index_batches: the indices (B,) of each batch, such as those of `epoch_batches`.
        augment: takes a sample and a generator of its own, and returns a sample; None for the samples as they are.
        seed: of the generators, which differ for each seed, epoch and index.
        epoch: number of the epoch, from 0.

    Returns:
        An iterator of lists of samples, in the order of the indices.

    Raises:
        ValueError: an argument is of another type, or negative; from the iterator, an index is of no sample.
    """
    check_instance("dataset", dataset, (SegmentationDataset, DetectionDataset), "a data set of a dense task")
    try:
        batches = iter(index_batches)
    except TypeError:
        raise ValueError(f"index_batches: got {shown(index_batches)}, expected arrays of indices") from None
    if augment is not None:
        check_callable("augment", augment)
    seed, epoch = check_integer("seed", seed, 0), check_integer("epoch", epoch, 0)

    def load(index: int) -> Any:
        sample = dataset[index]
        return sample if augment is None else augment(sample, sample_rng(seed, epoch, index))

    return _in_threads(load, (_checked(indices, len(dataset)) for indices in batches))


def _checked(indices: Array, count: int) -> Array:
    """The indices of one batch, or a ValueError."""
    expected = f"arrays of indices from 0 to {count - 1}"
    check_array("index_batches", indices, expected)
    if indices.ndim != 1 or indices.dtype.kind not in "iu":
        raise ValueError(f"index_batches: got {describe(indices)}, expected {expected}")
    if indices.size and not 0 <= indices.min() <= indices.max() < count:
        raise ValueError(f"index_batches: got {indices.min()} to {indices.max()}, expected {expected}")
    return indices


def _in_threads(load: Callable[[int], T], index_batches: Iterable[Array]) -> Iterator[list[T]]:
    """What `load` returns for the indices of each batch."""
    executor = ThreadPoolExecutor(reading_threads(MOST_THREADS), thread_name_prefix="npswin-samples")
    batches = iter(index_batches)
    pending: deque[list[Future[T]]] = deque()

    def begin(count: int) -> None:
        for indices in islice(batches, count):
            pending.append([executor.submit(load, index) for index in indices])

    try:
        begin(AHEAD)
        while pending:
            futures = pending.popleft()
            begin(1)
            yield [future.result() for future in futures]
    finally:
        executor.shutdown(cancel_futures=True)
