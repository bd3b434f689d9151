"""Batches on their way from a data set to where the model is."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from npswin.data import ImageDataset
from npswin.devices import cupy, on_gpu
from npswin.types import Array


def feed(dataset: ImageDataset, batches: Sequence[Array], like: Array) -> Iterator[tuple[Array, Array]]:
    """Images and labels, a batch after the other, where another array is.

    To a GPU the next batch is copied while the program works with this one: through memory that the GPU reads by
    itself, in a stream of its own.

    Args:
        dataset: in the computer's memory.
        batches: indices of the images of each batch, (B,); B may change.
        like: a parameter of the model, for example.

    Yields:
        images (B, 3, H, W) uint8 and labels (B,) int64. On a GPU they hold until the next batch is asked for.
    """
    if not on_gpu(like):
        yield from ((dataset.images[indices], dataset.labels[indices]) for indices in batches)
        return
    stream = cupy().cuda.Stream(non_blocking=True)
    largest = max(map(len, batches), default=0)
    slots = [_Slot(dataset, largest, stream) for _ in range(min(2, len(batches)))]
    try:
        for number in range(len(batches) + 1):
            if number < len(batches):
                slots[number % 2].send(batches[number])
            if number:
                yield slots[(number - 1) % 2].arrived()
                slots[(number - 1) % 2].release()
    finally:
        stream.synchronize()  # memory is not given back while something is copied into it


class _Slot:
    """Room for one batch, here and on the GPU."""

    def __init__(self, dataset: ImageDataset, largest: int, stream: Any) -> None:
        cuda = cupy().cuda
        self._sources, self._stream = (dataset.images, dataset.labels), stream
        shapes = [(largest, *source.shape[1:]) for source in self._sources]
        self._here = [pinned(shape, source.dtype) for shape, source in zip(shapes, self._sources, strict=True)]
        self._there = [cupy().empty(here.shape, here.dtype) for here in self._here]
        self._copied, self._used = (cuda.Event(disable_timing=True) for _ in range(2))
        self._count = 0
        self.release()

    def send(self, indices: Array) -> None:
        """Begin to copy these images and labels, when those before them are no longer needed."""
        self._copied.synchronize()
        self._stream.wait_event(self._used)
        self._count = len(indices)
        for source, here, there in zip(self._sources, self._here, self._there, strict=True):
            np.take(source, indices, axis=0, out=here[: self._count], mode="clip")  # others are copied twice
            there[: self._count].set(here[: self._count], stream=self._stream)
        self._copied.record(self._stream)

    def arrived(self) -> tuple[Array, Array]:
        """What was sent; work that is asked for from now on waits for it."""
        cupy().cuda.get_current_stream().wait_event(self._copied)
        images, labels = (there[: self._count] for there in self._there)
        return images, labels

    def release(self) -> None:
        """All work with it has been asked for."""
        self._used.record(cupy().cuda.get_current_stream())


def pinned(shape: tuple[int, ...], dtype: Any) -> Array:
    """An array that stays where it is in the computer's memory, so that the GPU can read it by itself."""
    size = int(np.prod(shape))
    memory = cupy().cuda.alloc_pinned_memory(max(1, size * np.dtype(dtype).itemsize))
    return np.frombuffer(memory, dtype, size).reshape(shape)
