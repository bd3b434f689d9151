"""Data sets, augmentation, and the batches of each step."""

from npswin.data.augment import random_crop, random_erasing, random_flip
from npswin.data.batches import batch_rng, epoch_batches, steps_per_epoch
from npswin.data.cifar10 import CIFAR10_CLASSES, CIFAR10_MEAN, CIFAR10_STD, load_cifar10
from npswin.data.dataset import IMAGENET_MEAN, IMAGENET_STD, ImageDataset, channel_statistics, normalize
from npswin.data.errors import DataFileError, DataUnavailableError
from npswin.data.mixing import cutmix, mixup, one_hot
from npswin.data.rand_augment import rand_augment
from npswin.data.scenes import SCENE_CLASSES, SCENE_THINGS, load_detection_scenes, load_segmentation_scenes
from npswin.data.shapes import SHAPE_CLASSES, SHAPES_MEAN, SHAPES_STD, load_shapes, make_shapes

__all__ = [
    "CIFAR10_CLASSES",
    "CIFAR10_MEAN",
    "CIFAR10_STD",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "SCENE_CLASSES",
    "SCENE_THINGS",
    "SHAPES_MEAN",
    "SHAPES_STD",
    "SHAPE_CLASSES",
    "DataFileError",
    "DataUnavailableError",
    "ImageDataset",
    "batch_rng",
    "channel_statistics",
    "cutmix",
    "epoch_batches",
    "load_cifar10",
    "load_detection_scenes",
    "load_segmentation_scenes",
    "load_shapes",
    "make_shapes",
    "mixup",
    "normalize",
    "one_hot",
    "rand_augment",
    "random_crop",
    "random_erasing",
    "random_flip",
    "steps_per_epoch",
]
