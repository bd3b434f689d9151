"""The recipe: every setting of a training run."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

OPTIMIZERS = ("adamw", "sgd")
PRECISIONS = ("full", "tf32", "bfloat16", "float16")


@dataclass(frozen=True)
class TrainConfig:
    """A recipe. With the same model, data and number of threads, it gives the same run bit for bit.

    Attributes:
        epochs: passes over the training images.
        batch_size: B, images per step.
        micro_batches: parts in which a batch is computed one after the other, to save memory. The step is the same.
        optimizer: "adamw" or "sgd" (with momentum 0.9).
        lr: highest learning rate.
        weight_decay: λ, for the parameters that decay (see `npswin.training.decays`).
        warmup_epochs: number of epochs, not always whole, in which the learning rate rises from 0.
        min_lr: learning rate at the end of the cosine.
        label_smoothing: share of each target that is distributed over all classes, in [0, 1).
        clip_norm: largest norm of all gradients together; None for no clipping.
        ema_decay: decay of the moving average of the weights, which is evaluated and saved; None for no average.
        crop_padding: zero pixels around an image before a random crop of its size; 0 for no crop.
        flip: whether images are flipped left to right with probability 1/2.
        mixup: α of the Beta distribution of mixup's λ; 0 for no mixup.
        cutmix: α for cutmix; 0 for no cutmix. With both, each batch gets one of them.
        erasing: probability that a rectangle of an image is erased.
        rand_augment: RandAugment's operations per image; 0 for none.
        precision: of the operands of matrix products: "full" for the model's dtype; on a GPU also "tf32" (10 bits of
            mantissa), or "bfloat16" or "float16", where the maps have 16 bits, too. Weights, sums and statistics stay
            in float32; with float16 the loss is scaled.
        seed: of the order of the images, their augmentation and the dropout masks.
        checkpoint_every: steps between checkpoints within an epoch; None for one per epoch.

    Raises:
        ValueError: a value is out of its range; the message names it.
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
        for name, minimum in _INTEGERS.items():
            value = getattr(self, name)
            if name == "checkpoint_every" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
                raise ValueError(f"{name}: got {value!r}, expected an integer of at least {minimum}")
        for name, (expected, is_valid) in _NUMBERS.items():
            value = getattr(self, name)
            if name in ("clip_norm", "ema_decay") and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not is_valid(value):
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
        """The recipe as a dictionary that JSON can hold."""
        return dataclasses.asdict(self)


def _at_least_zero(value: float) -> bool:
    return 0 <= value < math.inf


def _positive(value: float) -> bool:
    return 0 < value < math.inf


def _from_zero_below_one(value: float) -> bool:
    return 0 <= value < 1


# Field -> smallest value.
_INTEGERS = {
    "epochs": 1,
    "batch_size": 1,
    "micro_batches": 1,
    "crop_padding": 0,
    "rand_augment": 0,
    "seed": 0,
    "checkpoint_every": 1,
}
# Field -> the range for the message, and its check.
_NUMBERS = {
    "lr": ("a positive number", _positive),
    "weight_decay": ("a number of at least 0", _at_least_zero),
    "warmup_epochs": ("a number of at least 0", _at_least_zero),
    "min_lr": ("a number of at least 0", _at_least_zero),
    "label_smoothing": ("a number in [0, 1)", _from_zero_below_one),
    "clip_norm": ("a positive number or None", _positive),
    "ema_decay": ("a number in [0, 1) or None", _from_zero_below_one),
    "mixup": ("a number of at least 0", _at_least_zero),
    "cutmix": ("a number of at least 0", _at_least_zero),
    "erasing": ("a number in [0, 1]", lambda value: 0 <= value <= 1),
}
