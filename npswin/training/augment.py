"""A batch as the model gets it: drawn from the data set, augmented as the recipe says."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from npswin.data import cutmix, mixup, normalize, one_hot, rand_augment, random_crop, random_erasing, random_flip
from npswin.devices import generator_beside, on_gpu
from npswin.training.config import TrainConfig
from npswin.types import Array


def augment(
    images: Array,
    labels: Array,
    num_classes: int,
    config: TrainConfig,
    mean: Sequence[float],
    std: Sequence[float],
    dtype: DTypeLike,
    rng: np.random.Generator,
) -> tuple[Array, Array]:
    """From pixels and labels to inputs and targets.

    The order is that of the official code: crop, flip, RandAugment, normalization, erasing, then mixup or cutmix.

    Args:
        images: (B, c, H, W) uint8, on the CPU or on a GPU, where all is then drawn and done.
        labels: (B,) integers, in the same place.
        num_classes: K.
        config: which augmentations, and how much of them.
        mean: of each channel, on the scale from 0 to 1.
        std: the same.
        dtype: of the inputs.
        rng: everything random comes from here; on a GPU, from a generator that it seeds.

    Returns:
        inputs (B, c, H, W) of this dtype, and targets: the labels (B,), or (B, K) where images were mixed.
    """
    draw = generator_beside(images, int(rng.integers(2**63))) if on_gpu(images) else rng
    if config.crop_padding:
        images = random_crop(images, draw, config.crop_padding)
    if config.flip:
        images = random_flip(images, draw)
    if config.rand_augment:
        images = _rand_augment(images)(images, draw, config.rand_augment)
    inputs = normalize(images, mean, std, dtype)
    if config.erasing:
        inputs = random_erasing(inputs, draw, config.erasing)
    if not (config.mixup or config.cutmix):
        return inputs, labels
    targets = one_hot(labels, num_classes, dtype)
    if config.cutmix and (not config.mixup or rng.random() < 0.5):
        return cutmix(inputs, targets, draw, config.cutmix)
    return mixup(inputs, targets, draw, config.mixup)


def _rand_augment(images: Array) -> Any:
    return import_module("npswin.backends.cuda.rand_augment").rand_augment if on_gpu(images) else rand_augment
