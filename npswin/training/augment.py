"""A batch as the model gets it: drawn from the data set, augmented as the recipe says."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from npswin.data import cutmix, mixup, normalize, one_hot, rand_augment, random_crop, random_erasing, random_flip
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
        images: (B, c, H, W) uint8.
        labels: (B,) integers.
        num_classes: K.
        config: which augmentations, and how much of them.
        mean: of each channel, on the scale from 0 to 1.
        std: the same.
        dtype: of the inputs.
        rng: everything random comes from here.

    Returns:
        inputs (B, c, H, W) of this dtype, and targets: the labels (B,), or (B, K) where images were mixed.
    """
    if config.crop_padding:
        images = random_crop(images, rng, config.crop_padding)
    if config.flip:
        images = random_flip(images, rng)
    if config.rand_augment:
        images = rand_augment(images, rng, config.rand_augment)
    inputs = normalize(images, mean, std, dtype)
    if config.erasing:
        inputs = random_erasing(inputs, rng, config.erasing)
    if not (config.mixup or config.cutmix):
        return inputs, labels
    targets = one_hot(labels, num_classes, dtype)
    if config.cutmix and (not config.mixup or rng.random() < 0.5):
        return cutmix(inputs, targets, rng, config.cutmix)
    return mixup(inputs, targets, rng, config.mixup)
