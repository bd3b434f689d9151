"""A function of arrays on a GPU, recorded once and then started as a whole."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from npswin.backends.cuda.runtime import cublas
from npswin.backends.cuda.runtime.constants import collect_constants
from npswin.devices import cupy, on_gpu


class Captured:
    """A CUDA graph of all GPU work that a function starts.

    A model starts some hundred small kernels, and Python takes longer to start a small one than the GPU to run it. A
    graph is started at once. It owns memory for the function's inputs, its result and everything in between.

        infer = npswin.capture(model, images)
        logits = infer(images)                # of the same shape and dtype, as often as needed

    The recording reads and writes arrays at their addresses: parameters may be changed in place, and the next call
    uses the new values, but not those of a model that was moved. Python numbers are constants in it, and so are random
    numbers that were drawn.

    Args:
        function: of arrays on the GPU; returns an array there. It must not synchronize with the GPU.
        *examples: arrays such as it is to be called with.

    Raises:
        ValueError: an example is not on a GPU.
    """

    def __init__(self, function: Callable[..., Any], *examples: Any) -> None:
        for place, example in enumerate(examples):
            if not on_gpu(example):
                raise ValueError(
                    f"examples: number {place} is a {type(example).__name__}, expected an array on the GPU"
                )
        cp = cupy()
        self._inputs = [example.copy() for example in examples]
        self._memory = cp.cuda.MemoryPool()
        cp.cuda.Device().synchronize()
        with (
            collect_constants() as self._constants,
            cp.cuda.using_allocator(self._memory.malloc),
            cp.cuda.Stream(non_blocking=True) as stream,
        ):
            try:
                function(*self._inputs)  # compiles, copies tables, and allocates, which a recording must not do
                stream.synchronize()
                stream.begin_capture()
                self._constants.are_complete = True
                try:
                    self._result = function(*self._inputs)
                except BaseException:
                    with suppress(RuntimeError):  # which only repeats that there was an error
                        stream.end_capture()
                    raise
                self._graph = stream.end_capture()
            finally:
                self._workspace = cublas.take_workspace()

    def __call__(self, *arrays: Any) -> Any:
        """The function's result, a new array.

        Args:
            *arrays: of the examples' shapes and dtypes.

        Raises:
            ValueError: another number of arrays, another shape or dtype, or not on a GPU.
        """
        if len(arrays) != len(self._inputs):
            raise ValueError(f"got {len(arrays)} arrays, expected {len(self._inputs)}")
        for place, (own, given) in enumerate(zip(self._inputs, arrays, strict=True)):
            if not on_gpu(given) or given.shape != own.shape or given.dtype != own.dtype:
                got = f"{getattr(given, 'dtype', type(given).__name__)} of shape {getattr(given, 'shape', ())}"
                raise ValueError(f"array {place}: got {got}, expected {own.dtype} of shape {own.shape} on the GPU")
            own[...] = given
        self._graph.launch()
        return self._result.copy()
