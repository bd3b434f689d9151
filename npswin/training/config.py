"""The recipe: every setting of a training run."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from npswin.checks import check_choice, check_flag, check_integer, check_number, shown
from npswin.data.augment import LARGEST_PADDING
from npswin.data.mixing import LARGEST_ALPHA
from npswin.data.rand_augment import MOST_OPS

OPTIMIZERS = ("adamw", "sgd")
SCHEDULES = ("cosine", "poly", "steps")
PRECISIONS = ("full", "tf32", "bfloat16", "float16")


@dataclass(frozen=True)
class TrainConfig:
    """A recipe. With the same model, data and number of threads, it gives the same run bit for bit.

    Attributes:
        epochs: passes over the training images.
        batch_size: B, images per step.
        micro_batches: parts in which a batch is computed one after the other, to save memory. The step is the same, but
            for batch norm, whose statistics are then those of a part.
        optimizer: "adamw" or "sgd" (with momentum 0.9).
        lr: highest learning rate.
        weight_decay: λ, for the parameters that decay (see `npswin.training.decays`).
        warmup_epochs: number of epochs, not always whole, in which the learning rate rises from 0.
        min_lr: learning rate at the end of the cosine or the line.
        label_smoothing: share of each target that is distributed over all classes, in [0, 1). It is for
            classification, as are all fields from `crop_padding` to `rand_augment`; other tasks have settings of their
            own.
        clip_norm: largest norm of all gradients together; None for no clipping.
        ema_decay: decay of the moving average of the weights, which is evaluated and saved; None for no average.
        crop_padding: zero pixels around an image before a random crop of its size; 0 for no crop.
        flip: whether images are flipped left to right with probability 1/2.
        mixup: α of the Beta distribution of mixup's λ; 0 for no mixup.
        cutmix: α for cutmix; 0 for no cutmix. With both, each batch gets one of them.
        erasing: probability that a rectangle of an image is erased.
        rand_augment: RandAugment's operations per image, which has three channels in 8 bits; 0 for none.
        precision: of the operands of matrix products: "full" for the model's dtype; on a GPU also "tf32" (10 bits of
            mantissa), or "bfloat16" or "float16", where the maps have 16 bits, too. Weights, sums and statistics stay
            in float32; with float16 the loss is scaled. On a CPU with instructions for it (AVX512-BF16 or AMX) also
            "bfloat16", where nothing but operands is rounded: maps and gradients stay in float32.
        seed: of the order of the images, their augmentation and the dropout masks.
        checkpoint_every: steps between checkpoints within an epoch; None for one per epoch.
        schedule: of the learning rate: "cosine"; "poly", a line from `lr` to `min_lr`; or "steps", a tenth after each
            of the `decay_epochs`. See `npswin.training.schedules.Schedule`.
        decay_epochs: numbers of epochs after which the rate falls with the schedule "steps", such as (8, 11) of 12.
        warmup_steps: length of the warm-up in steps, instead of `warmup_epochs`.

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
    schedule: str = "cosine"
    decay_epochs: tuple[int, ...] = ()
    warmup_steps: int = 0

    def __post_init__(self) -> None:
        for name, bounds in _INTEGERS.items():
            self._check(name, check_integer, *bounds)
        for name, named_bounds in _NUMBERS.items():
            self._check(name, check_number, **named_bounds)
        self._check("flip", check_flag)
        self._check("optimizer", check_choice, OPTIMIZERS)
        self._check("precision", check_choice, PRECISIONS)
        self._check_schedule()
        if self.micro_batches > self.batch_size:
            raise ValueError(
                f"micro_batches: got {self.micro_batches}, expected at most the batch_size {self.batch_size}"
            )
        if self.min_lr > self.lr:
            raise ValueError(f"min_lr: got {self.min_lr}, expected at most the lr {self.lr}")
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs: got {self.warmup_epochs}, expected fewer than the {self.epochs} epochs")

        if self.warmup_steps and self.warmup_epochs:
            raise ValueError(f"warmup_steps: got {self.warmup_steps} beside warmup_epochs, expected one of them")

    def as_dict(self) -> dict[str, Any]:
        """The recipe as a dictionary that JSON can hold."""
        return {**dataclasses.asdict(self), "decay_epochs": list(self.decay_epochs)}

    def _check_schedule(self) -> None:
        self._check("schedule", check_choice, SCHEDULES)
        epochs, bounds = self.decay_epochs, f"whole numbers from 1 to {self.epochs - 1} in rising order"
        if not isinstance(epochs, list | tuple):
            raise ValueError(f"decay_epochs: got {shown(epochs)}, expected a tuple of {bounds}")
        epochs = tuple(check_integer("decay_epochs", epoch, 1, self.epochs - 1) for epoch in epochs)
        if list(epochs) != sorted(set(epochs)):
            raise ValueError(f"decay_epochs: got {shown(epochs)}, expected {bounds}")
        object.__setattr__(self, "decay_epochs", epochs)
        if (self.schedule == "steps") != bool(epochs):
            expected = 'some with the schedule "steps"' if not epochs else f"none with the schedule {self.schedule!r}"
            raise ValueError(f"decay_epochs: got {epochs}, expected {expected}")
        if self.schedule == "steps" and self.min_lr:
            raise ValueError(f'min_lr: got {self.min_lr}, expected 0 with the schedule "steps", which has none')

    def _check(self, name: str, check: Any, *bounds: Any, **named_bounds: Any) -> None:
        """Replace a value by the one that a check of `npswin.checks` returns; None stays where it is the default."""
        value = getattr(self, name)
        if value is not None or name not in _OPTIONAL:
            object.__setattr__(self, name, check(name, value, *bounds, **named_bounds))


def check_without_classification(config: TrainConfig) -> None:
    """Raise a ValueError if a recipe for another task has a setting that is for classification alone."""
    for name in _CLASSIFICATION:
        if value := getattr(config, name):
            raise ValueError(f"{name}: got {value}, expected none: it is for classification, this task has its own")


MOST_STEPS = 2**31 - 1
_CLASSIFICATION = ("label_smoothing", "crop_padding", "flip", "mixup", "cutmix", "erasing", "rand_augment")
_OPTIONAL = ("clip_norm", "ema_decay", "checkpoint_every")
# Field -> smallest value, and largest.
_INTEGERS: dict[str, tuple[int, ...]] = {
    "epochs": (1, MOST_STEPS),
    "batch_size": (1, MOST_STEPS),
    "micro_batches": (1, MOST_STEPS),
    "crop_padding": (0, LARGEST_PADDING),
    "rand_augment": (0, MOST_OPS),
    "seed": (0, 2**64 - 1),
    "warmup_steps": (0, MOST_STEPS),
    "checkpoint_every": (1, MOST_STEPS),
}
# Field -> its range.
_NUMBERS: dict[str, dict[str, float]] = {
    "lr": {"above": 0},
    "weight_decay": {"at_least": 0},
    "warmup_epochs": {"at_least": 0},
    "min_lr": {"at_least": 0},
    "label_smoothing": {"at_least": 0, "below": 1},
    "clip_norm": {"above": 0},
    "ema_decay": {"at_least": 0, "below": 1},
    "mixup": {"at_least": 0, "at_most": LARGEST_ALPHA},
    "cutmix": {"at_least": 0, "at_most": LARGEST_ALPHA},
    "erasing": {"at_least": 0, "at_most": 1},
}
