"""Copies between the computer's memory and a GPU's that overlap with computation."""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from npswin.data import ImageDataset
from npswin.devices import cupy
from npswin.types import Array

# (event, host array) of copies that may not be finished: the memory must not be freed before that.
_unfinished_copies: deque[tuple[Any, Any]] = deque()


class AsyncScalar:
    """A number on the GPU whose copy to the host has been started.

    `float()` waits for the copy, but not for work that the GPU was given later: reading the array itself would.

    Args:
        array: 0-dimensional, on the GPU.
    """

    def __init__(self, array: Any) -> None:
        self._array, self._on_host = array, pinned_array((), array.dtype)
        array.get(out=self._on_host, blocking=False)
        self._copied = cupy().cuda.Event(disable_timing=True)
        self._copied.record(cupy().cuda.get_current_stream())
        _unfinished_copies.append((self._copied, self._on_host))
        while _unfinished_copies and _unfinished_copies[0][0].done:
            _unfinished_copies.popleft()

    def __float__(self) -> float:
        self._copied.synchronize()
        return float(np.float64(self._on_host))


def prefetch_batches(dataset: ImageDataset, index_batches: Sequence[Array]) -> Iterator[tuple[Array, Array]]:
    """Batches in the GPU's memory; the next one is copied while the caller works with the current one.

    The copy goes through pinned memory, in a stream of its own.

    Args:
        dataset: in the computer's memory.
        index_batches: indices of the images of each batch, (B,); B may change.

    Yields:
        images (B, c, H, W) uint8 or uint16 and labels (B,) int64 on the GPU, valid until the next batch is requested.
    """
    stream = cupy().cuda.Stream(non_blocking=True)
    largest = max(map(len, index_batches), default=0)
    buffers = [_BatchBuffer(dataset, largest, stream) for _ in range(min(2, len(index_batches)))]
    try:
        for number in range(len(index_batches) + 1):
            if number < len(index_batches):
                buffers[number % 2].start_copy(index_batches[number])
            if number:
                yield buffers[(number - 1) % 2].batch()
                buffers[(number - 1) % 2].release()
    finally:
        stream.synchronize()  # memory must not be freed while something is copied into it


class _BatchBuffer:
    """Memory for one batch, pinned on the host and on the GPU.

    Args:
        dataset: the batches' source.
        largest: images of the largest batch.
        stream: the stream that copies.
    """

    def __init__(self, dataset: ImageDataset, largest: int, stream: Any) -> None:
        cuda = cupy().cuda
        self._sources, self._stream = (dataset.images, dataset.labels), stream
        shapes = [(largest, *source.shape[1:]) for source in self._sources]
        self._on_host = [pinned_array(shape, source.dtype) for shape, source in zip(shapes, self._sources, strict=True)]
        self._on_gpu = [cupy().empty(host.shape, host.dtype) for host in self._on_host]
        self._copied, self._released = (cuda.Event(disable_timing=True) for _ in range(2))
        self._count = 0
        self.release()

    def start_copy(self, indices: Array) -> None:
        """Start to copy these images and labels, as soon as the GPU has finished with the batch before."""
        self._copied.synchronize()
        self._stream.wait_event(self._released)
        self._count = len(indices)
        for source, host, gpu in zip(self._sources, self._on_host, self._on_gpu, strict=True):
            # with mode="raise", take would go through a temporary copy
            np.take(source, indices, axis=0, out=host[: self._count], mode="clip")
            gpu[: self._count].set(host[: self._count], stream=self._stream)
        self._copied.record(self._stream)

    def batch(self) -> tuple[Array, Array]:
        """Images and labels on the GPU; work that is queued from now on waits for their copy."""
        cupy().cuda.get_current_stream().wait_event(self._copied)
        images, labels = (gpu[: self._count] for gpu in self._on_gpu)
        return images, labels

    def release(self) -> None:
        """All work with the batch has been queued."""
        self._released.record(cupy().cuda.get_current_stream())


def pinned_array(shape: tuple[int, ...], dtype: Any) -> Array:
    """A NumPy array in pinned (page-locked) memory, which the GPU copies without the CPU."""
    size = int(np.prod(shape))
    memory = cupy().cuda.alloc_pinned_memory(max(1, size * np.dtype(dtype).itemsize))
    return np.frombuffer(memory, dtype, size).reshape(shape)
