"""A batch of classified images on its way into the model: chosen from the data set, and augmented."""

from collections.abc import Generator, Sequence
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from npswin.checks import check_instance
from npswin.data import (
    ImageDataset,
    cutmix,
    mixup,
    normalize,
    one_hot,
    rand_augment,
    random_crop,
    random_erasing,
    random_flip,
)
from npswin.data.dataset import channels_last_hint
from npswin.devices import generator_on_device_of, on_gpu
from npswin.training.config import TrainConfig
from npswin.training.gpu.transfers import prefetch_batches
from npswin.training.trainable import Classifier, check_model
from npswin.types import Array


def check_data(model: Classifier, train_data: ImageDataset, test_data: ImageDataset) -> None:
    """Raise a ValueError unless channels and classes of both data sets are those of the model."""
    check_model(model, "params", "grads", "dtype", "in_chans", "num_classes", "config", "forward", "backward")
    check_dataset("train_data", train_data, model)
    check_dataset("test_data", test_data, model)
    if train_data.class_names != test_data.class_names:
        raise ValueError(f"test_data: its class names are not those of train_data, {', '.join(train_data.class_names)}")


def check_dataset(name: str, dataset: ImageDataset, model: Classifier) -> None:
    """Raise a ValueError unless a data set's channels and classes are those of the model."""
    check_instance(name, dataset, ImageDataset, "an ImageDataset")
    channels, classes = dataset.images.shape[1], len(dataset.class_names)
    if channels != model.in_chans:
        hint = channels_last_hint(dataset.images, model.in_chans)
        raise ValueError(f"{name}: has {channels} channels, the model takes {model.in_chans} (its in_chans){hint}")
    if classes != model.num_classes:
        raise ValueError(f"{name}: has {classes} classes, the model has {model.num_classes} (its num_classes)")


def check_augmentation(config: TrainConfig, dataset: ImageDataset) -> None:
    """Raise a ValueError unless the recipe's augmentations are defined for images of such channels and bits."""
    channels, dtype = dataset.images.shape[1], dataset.images.dtype
    if config.rand_augment and (channels, dtype) != (3, np.uint8):
        got = f"got {config.rand_augment} for images of {channels} channel{'s' * (channels > 1)} in {dtype}"
        expected = "RandAugment is defined for red, green and blue in uint8; the other augmentations take any images"
        raise ValueError(f"rand_augment: {got}, expected 0: {expected}")


def load_batches(
    dataset: ImageDataset, index_batches: Sequence[Array], like: Array
) -> Generator[tuple[Array, Array], None, None]:
    """Images and labels of one batch after the other, on the device of another array.

    Args:
        dataset: in the computer's memory.
        index_batches: indices of the images of each batch, (B,); B may change.
        like: the array whose device is used, such as a parameter of the model.

    Yields:
        images (B, c, H, W) uint8 or uint16 and labels (B,) int64. On a GPU they are valid until the next batch is
        requested, which is copied meanwhile.
    """
    if on_gpu(like):
        yield from prefetch_batches(dataset, index_batches)
    else:
        yield from ((dataset.images[indices], dataset.labels[indices]) for indices in index_batches)


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
        images: (B, c, H, W) uint8 or uint16, on the CPU or on a GPU, where they are then augmented.
        labels: (B,) integers, on the same device.
        num_classes: K.
        config: which augmentations, and their strengths.
        mean: of each channel, of pixels scaled to [0, 1].
        std: the same.
        dtype: of the inputs.
        rng: all random numbers come from it; on a GPU, from a generator that it seeds.

    Returns:
        inputs (B, c, H, W) of this dtype, and targets: the labels (B,), or (B, K) where images were mixed.
    """
    device_rng = generator_on_device_of(images, int(rng.integers(2**63))) if on_gpu(images) else rng
    if config.crop_padding:
        images = random_crop(images, device_rng, config.crop_padding)
    if config.flip:
        images = random_flip(images, device_rng)
    if config.rand_augment:
        images = _rand_augment_for(images)(images, device_rng, config.rand_augment)
    inputs = normalize(images, mean, std, dtype)
    if config.erasing:
        inputs = random_erasing(inputs, device_rng, config.erasing)
    if not (config.mixup or config.cutmix):
        return inputs, labels
    targets = one_hot(labels, num_classes, dtype)
    if config.cutmix and (not config.mixup or rng.random() < 0.5):
        return cutmix(inputs, targets, device_rng, config.cutmix)
    return mixup(inputs, targets, device_rng, config.mixup)


def _rand_augment_for(images: Array) -> Any:
    """`rand_augment` for images on the CPU, or its kernel's function for images on a GPU."""
    return import_module("npswin.backends.cuda.rand_augment").rand_augment if on_gpu(images) else rand_augment
