"""A model, data and a recipe for runs of less than a second."""

from typing import Any

import numpy as np
import pytest

from npswin.data import ImageDataset
from npswin.models import SwinTransformer
from npswin.training import TrainConfig, Trainer

CLASSES = ("dark", "middle", "bright")


def tiny_model(**overrides: Any) -> SwinTransformer:
    """Two blocks, one of them shifted, on images of 8 × 8."""
    arguments: dict[str, Any] = {
        "img_size": 8,
        "patch_size": 2,
        "num_classes": len(CLASSES),
        "embed_dim": 8,
        "depths": (2,),
        "num_heads": (2,),
        "window_size": 2,
        "drop_path_rate": 0.2,
    }
    return SwinTransformer(**{**arguments, **overrides})


def tiny_data(
    count: int = 24, split: str = "train", seed: int = 0, channels: int = 3, dtype: Any = np.uint8
) -> ImageDataset:
    """Noise whose brightness is the class."""
    rng = np.random.default_rng([seed, len(split)])
    labels = rng.integers(len(CLASSES), size=count)
    images = rng.integers(0, 100, size=(count, channels, 8, 8)) + 70 * labels[:, None, None, None]
    scale = np.iinfo(dtype).max // 255
    return ImageDataset((scale * images).astype(dtype), labels, CLASSES, name="tiny", split=split)


def tiny_config(**overrides: Any) -> TrainConfig:
    """Three epochs of three steps, with all augmentations that work on images of 8 × 8."""
    recipe: dict[str, Any] = {
        "epochs": 3,
        "batch_size": 8,
        "lr": 3e-3,
        "warmup_epochs": 0.5,
        "clip_norm": 1.0,
        "ema_decay": 0.9,
        "crop_padding": 1,
        "flip": True,
        "mixup": 0.2,
    }
    return TrainConfig(**{**recipe, **overrides})


def tiny_trainer(out: Any, model: SwinTransformer | None = None, **overrides: Any) -> Trainer:
    """A trainer with this model, data and recipe."""
    return Trainer(model or tiny_model(), tiny_data(), tiny_data(10, "test"), tiny_config(**overrides), out)


class FileSizeLimit:
    """A limit on the size of files, which fails as a full disk does."""

    def __init__(self, size: int) -> None:
        self.resource = pytest.importorskip("resource")  # on Unix only
        self.size = size

    def __enter__(self) -> None:
        self.before = self.resource.getrlimit(self.resource.RLIMIT_FSIZE)
        self.resource.setrlimit(self.resource.RLIMIT_FSIZE, (self.size, self.before[1]))

    def __exit__(self, *_: object) -> None:
        self.resource.setrlimit(self.resource.RLIMIT_FSIZE, self.before)
