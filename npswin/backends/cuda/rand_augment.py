"""RandAugment on the GPU: one CUDA block applies all operations to one image."""

from typing import Any

import numpy as np

from npswin.backends.cuda.runtime.launch import launch
from npswin.data.rand_augment import check_arguments, draw_operations
from npswin.devices import cupy


def rand_augment(images: Any, rng: Any, num_ops: int = 2, magnitude: float = 9) -> Any:
    """See `npswin.data.rand_augment`: the same operations, drawn by a generator of CuPy's.

    Args:
        images: (B, 3, H, W) uint8 on the GPU.
        rng: CuPy's.
        num_ops: operations an image.
        magnitude: their strength, 0 to 10.

    Returns:
        (B, 3, H, W) uint8.

    Raises:
        ValueError: as there.
    """
    num_ops, magnitude = check_arguments(images, rng, num_ops, magnitude)
    return apply_operations(images, *draw_operations(rng, len(images), num_ops), magnitude)


def apply_operations(images: Any, operations: Any, signs: Any, magnitude: float) -> Any:
    """See `npswin.data.rand_augment.apply_operations`."""
    count, _, height, width = images.shape
    num_ops = operations.shape[1]
    here, there = images.copy(), cupy().empty(images.shape, images.dtype)
    args = here, there, operations, signs, num_ops, height, width, magnitude / 10
    if images.size and num_ops:
        launch("rand_augment", "rand_augment", np.float32, (count,), args)
    return there if num_ops % 2 else here
