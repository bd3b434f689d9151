"""Right calls of data sets of classification, and augmentation of their images."""

import os
from functools import cache
from pathlib import Path

import numpy as np

from npswin.data import one_hot
from npswin.data.cifar10_download import FOLDER, TEST_FILES, TRAIN_FILES
from tests.tools.misuse_examples.example import (
    FLOAT_DTYPE,
    Example,
    is_batch,
    is_of_pixels,
    is_share,
    rng,
)
from tests.tools.misuse_examples.formats import DATA_EXAMPLES
from tests.tools.misuse_examples.samples import SAMPLE_EXAMPLES
from tests.tools.misuse_values import PATH, TEXT, array, choice, integer, listed, number, numbers, optional
from tests.training.tiny import CLASSES, tiny_data

PIXELS = array("u", lambda a: is_batch(a) and is_of_pixels(a))
COLOURS = array("u", lambda a: is_batch(a) and a.dtype == np.uint8 and a.shape[1] == 3)


def pixels() -> np.ndarray:
    """Four images."""
    return tiny_data(4).images


def floats() -> np.ndarray:
    """The same, as floats."""
    return pixels().astype(np.float32) / 255


def targets() -> np.ndarray:
    """Soft targets of four images."""
    return one_hot(tiny_data(4).labels, 3)


@cache
def _cifar10(parent: str) -> str:
    """A folder with CIFAR-10's files, all zeros."""
    folder = Path(parent, FOLDER)
    folder.mkdir(parents=True)
    for name in (*TRAIN_FILES, *TEST_FILES):
        with open(folder / name, "wb") as file:
            file.truncate(10_000 * 3073)
    return str(folder)


EXAMPLES: dict[str, Example] = {
    "npswin.data.ImageDataset.__init__": Example(
        lambda: {"images": pixels(), "labels": tiny_data(4).labels, "class_names": CLASSES, "name": "a", "split": "b"},
        {
            "images": PIXELS,
            "labels": array("i", lambda a: a.dtype == np.int64 and a.ndim == 1 and a.size > 0 and a.min() >= 0),
            "class_names": listed(TEXT),
        },
    ),
    "npswin.data.batch_rng": Example(lambda: {"seed": 1, "epoch": 2, "step": 3}),
    **{f"npswin.data.{name}": Example(*example) for name, example in {**DATA_EXAMPLES, **SAMPLE_EXAMPLES}.items()},
    "npswin.data.channel_statistics": Example(lambda: {"images": pixels()}, {"images": PIXELS}),
    **{
        f"npswin.data.{name}": Example(
            lambda: {"images": floats(), "targets": targets(), "rng": rng(), "alpha": 0.5},
            {"alpha": number(lambda value: 0 < value <= 1e9)},
        )
        for name in ("cutmix", "mixup")
    },
    "npswin.data.epoch_batches": Example(lambda: {"dataset_size": 7, "batch_size": 3, "seed": 1, "epoch": 2}),
    "npswin.data.load_cifar10": Example(
        lambda: {"data_dir": _cifar10(os.getcwd()), "train": False, "download": False}, {"data_dir": optional(PATH)}
    ),
    "npswin.data.load_shapes": Example(lambda: {"train": False, "seed": 1}),
    "npswin.data.make_shapes": Example(
        lambda: {"count": 3, "seed": 1, "split": "test"}, {"split": choice("train", "test")}
    ),
    "npswin.data.normalize": Example(
        lambda: {"images": pixels(), "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.4), "dtype": "float32"},
        {"dtype": FLOAT_DTYPE},
        {"images": "mean"},
    ),
    "npswin.data.one_hot": Example(
        lambda: {"labels": np.array([0, 2, 1]), "num_classes": 3, "dtype": "float32"},
        {"labels": array("iu", lambda a: a.ndim == 1), "dtype": FLOAT_DTYPE},
    ),
    "npswin.data.rand_augment": Example(
        lambda: {"images": pixels(), "rng": rng(), "num_ops": 2, "magnitude": 9},
        {"images": COLOURS, "num_ops": integer(0, 100), "magnitude": number(lambda value: 0 <= value <= 10)},
    ),
    "npswin.data.random_crop": Example(
        lambda: {"images": pixels(), "rng": rng(), "padding": 2}, {"padding": integer(0, 1024)}
    ),
    "npswin.data.random_erasing": Example(
        lambda: {"images": floats(), "rng": rng(), "probability": 0.5, "area": (0.1, 0.3), "aspect": (0.5, 2.0)},
        {
            "probability": number(is_share),
            "area": numbers(2, lambda value: 0 < value <= 1, increasing=True),
            "aspect": numbers(2, lambda value: value > 0, increasing=True),
        },
    ),
    "npswin.data.random_flip": Example(lambda: {"images": pixels(), "rng": rng()}),
    "npswin.data.steps_per_epoch": Example(lambda: {"dataset_size": 7, "batch_size": 3}),
}
