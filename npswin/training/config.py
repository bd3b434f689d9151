"""How to train: every number of a recipe in one place."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

OPTIMIZERS = ("adamw", "sgd")
PRECISIONS = ("full", "tf32", "bfloat16", "float16")


@dataclass(frozen=True)
class TrainConfig:
    """A recipe. Together with the model, the data and the number of threads it determines a run to the bit.

    Attributes:
        epochs: passes over the training images.
        batch_size: B, images a step.
        micro_batches: pieces that a batch is computed in, one after the other, to save memory. The step is the same.
        optimizer: "adamw" or "sgd" (with momentum 0.9).
        lr: highest learning rate.
        weight_decay: decay of the parameters that decay (see `npswin.training.decays`).
        warmup_epochs: epochs, or a part of one, over which the learning rate rises from 0.
        min_lr: learning rate at the end of the cosine.
        label_smoothing: part of each target that is spread over all classes, in [0, 1).
        clip_norm: longest gradient, over all parameters together; None for no clipping.
        ema_decay: decay of the moving average of the weights that is evaluated and kept; None for no average.
        crop_padding: pixels around an image from which a crop of its size is cut at random; 0 for none.
        flip: whether half of the images are mirrored left to right.
        mixup: α of the Beta distribution from which mixup takes its weights; 0 for none.
        cutmix: α of the same for cutmix; 0 for none. Where both are on, each batch gets one of them.
        erasing: probability that a rectangle of an image is erased.
        rand_augment: number of RandAugment's operations on each image; 0 for none.
        precision: what matrix products see of the numbers: "full" for all of the model's dtype; on a GPU also "tf32"
            for 10 bits of the fractions, or "bfloat16" or "float16", with maps of 16 bits. Weights, sums and
            statistics stay in float32; with float16 the loss is scaled.
        seed: of the order of the images, of their augmentation and of what the model drops.
        checkpoint_every: steps between checkpoints; None for one an epoch.

    Raises:
        ValueError: a value out of its range, named.
    """

    epochs: int = 10
    batch_size: int = 64
    micro_batches: int = 1
    optimizer: str = "adamw"
    lr: float = 1e-3
    weight_decay: float = 0.05
    warmup_epochs: float = 0.0
    min_lr: float = 0.0
    label_smoothing: float = 0.0
    clip_norm: float | None = None
    ema_decay: float | None = None
    crop_padding: int = 0
    flip: bool = False
    mixup: float = 0.0
    cutmix: float = 0.0
    erasing: float = 0.0
    rand_augment: int = 0
    precision: str = "full"
    seed: int = 0
    checkpoint_every: int | None = None

    def __post_init__(self) -> None:
        for name, lowest in _INTEGERS.items():
            value = getattr(self, name)
            if name == "checkpoint_every" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
                raise ValueError(f"{name}: got {value!r}, expected an integer of at least {lowest}")
        for name, (expected, fits) in _NUMBERS.items():
            value = getattr(self, name)
            if name in ("clip_norm", "ema_decay") and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not fits(value):
                raise ValueError(f"{name}: got {value!r}, expected {expected}")
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"optimizer: got {self.optimizer!r}, expected one of {', '.join(map(repr, OPTIMIZERS))}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision: got {self.precision!r}, expected one of {', '.join(map(repr, PRECISIONS))}")
        if not isinstance(self.flip, bool):
            raise ValueError(f"flip: got {self.flip!r}, expected True or False")
        if self.micro_batches > self.batch_size:
            raise ValueError(
                f"micro_batches: got {self.micro_batches}, expected at most the batch_size {self.batch_size}"
            )
        if self.min_lr > self.lr:
            raise ValueError(f"min_lr: got {self.min_lr}, expected at most the lr {self.lr}")
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs: got {self.warmup_epochs}, expected fewer than the {self.epochs} epochs")

    def as_dict(self) -> dict[str, Any]:
        """The recipe as JSON can hold it."""
        return dataclasses.asdict(self)


def _at_least_zero(value: float) -> bool:
    return 0 <= value < math.inf


def _positive(value: float) -> bool:
    return 0 < value < math.inf


def _share(value: float) -> bool:
    return 0 <= value < 1


_INTEGERS = {
    "epochs": 1,
    "batch_size": 1,
    "micro_batches": 1,
    "crop_padding": 0,
    "rand_augment": 0,
    "seed": 0,
    "checkpoint_every": 1,
}
_NUMBERS = {
    "lr": ("a positive number", _positive),
    "weight_decay": ("a number of at least 0", _at_least_zero),
    "warmup_epochs": ("a number of at least 0", _at_least_zero),
    "min_lr": ("a number of at least 0", _at_least_zero),
    "label_smoothing": ("a number in [0, 1)", _share),
    "clip_norm": ("a positive number or None", _positive),
    "ema_decay": ("a number in [0, 1) or None", _share),
    "mixup": ("a number of at least 0", _at_least_zero),
    "cutmix": ("a number of at least 0", _at_least_zero),
    "erasing": ("a number in [0, 1]", lambda value: 0 <= value <= 1),
}
