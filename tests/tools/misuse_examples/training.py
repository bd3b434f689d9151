"""Right calls of optimizers, the trainer, evaluations and pictures."""

import contextlib
import io
import tempfile
from collections.abc import Mapping
from typing import Any
from unittest import mock

import numpy as np

from npswin.models import SwinTransformer
from npswin.training import SGD, AdamW, Ema, TrainConfig, Trainer
from npswin.training.tasks.classification import ClassificationTask
from npswin.training.tasks.metric import Metric
from npswin.weights import save_tensors
from tests.tools.misuse_examples.example import (
    DATASET,
    LABELS,
    NORMALIZATION,
    SIZE,
    Example,
    images,
    is_input,
    is_share,
)
from tests.tools.misuse_examples.samples import PICTURE_EXAMPLES
from tests.tools.misuse_examples.tasks import TASK_EXAMPLES
from tests.tools.misuse_values import (
    FLAG,
    FUNCTION,
    NOT_NEGATIVE,
    NOTHING,
    PATH,
    POSITIVE,
    RATE,
    TEXT,
    array,
    choice,
    either,
    instance,
    integer,
    listed,
    number,
    numbers,
    optional,
)
from tests.training.tiny import tiny_data, tiny_model, tiny_trainer

PRECISIONS = ("full", "tf32", "bfloat16", "float16")


def _checkpoint_file() -> str:
    save_tensors("c.safetensors", {"a": np.ones(2)}, {"mean": "[0.5, 0.5]", "std": "[0.2, 0.3]"})
    return "c.safetensors"


def _finished_trainer() -> Trainer:
    """One that has trained, in a new folder: resumed, it only evaluates."""
    out = tempfile.mkdtemp(dir=".")
    trainer = tiny_trainer(out, epochs=1, ema_decay=None)
    with contextlib.redirect_stderr(io.StringIO()), mock.patch("npswin.training.trainer.draw_curves"):
        trainer.fit()
    return trainer


def model_with_gradients() -> SwinTransformer:
    """A model after a backward pass."""
    model = tiny_model()
    logits, cache = model.forward(images())
    model.backward(logits, cache)
    return model


def stepped(kind: type, **arguments: Any) -> Any:
    """An optimizer after one step."""
    optimizer = kind(model_with_gradients(), **arguments)
    optimizer.step()
    return optimizer


def ema() -> Ema:
    """An average that differs from the weights."""
    average = Ema(tiny_model(), 0.9)
    average._model.params["head.bias"][...] = 1
    return average


def records() -> list[dict[str, Any]]:
    """Lines of metrics.jsonl."""
    lines: list[dict[str, Any]] = [{"epoch": 1, "step": step, "loss": 1.0, "lr": 0.1} for step in (1, 2)]
    lines[-1].update(test_loss=1.0, test_accuracy=0.5)
    return lines


_POSITIVE_OR_INFINITE = number(lambda value: value > 0, finite=False)

_ANY_NUMBER = number(finite=False)


EXAMPLES: dict[str, Example] = {
    "npswin.training.SGD.__init__": Example(lambda: {"model": tiny_model(), "lr": 0.1}, {"momentum": RATE}),
    "npswin.training.AdamW.__init__": Example(
        lambda: {"model": tiny_model()}, {"betas": numbers(2, lambda value: 0 <= value < 1), "eps": POSITIVE}
    ),
    **{
        f"npswin.training.{kind.__name__}.{method}": Example(
            lambda kind=kind, arguments=arguments: {"self": stepped(kind, lr=0.1), **arguments()},
            {"grad_scale": _ANY_NUMBER, "step": integer(1, 2**63 - 1), "state": NOTHING},
        )
        for kind in (SGD, AdamW)
        for method, arguments in {
            "step": lambda: {"grad_scale": 0.5},
            "update_params": lambda: {"lr": 0.1, "step": 2, "grad_scale": 0.5},
            "load_state": lambda kind=kind: {"state": stepped(kind, lr=0.2).state()},
        }.items()
    },
    "npswin.training.Ema.__init__": Example(lambda: {"model": tiny_model(), "decay": 0.9}, {"decay": RATE}),
    "npswin.training.Ema.update": Example(lambda: {"self": ema(), "step": 3}, {"step": integer(1)}),
    "npswin.training.Ema.decay_at": Example(lambda: {"self": ema(), "step": 3}, {"step": integer(1)}),
    "npswin.training.Ema.update_with_decay": Example(
        lambda: {"self": ema(), "decay": 0.5}, {"decay": number(is_share)}
    ),
    "npswin.training.Ema.load": Example(lambda: {"self": ema(), "average": ema().average}, {"average": NOTHING}),
    **{f"npswin.training.{name}": Example(*example) for name, example in TASK_EXAMPLES.items()},
    "npswin.training.TrainConfig.__init__": Example(
        lambda: {"epochs": 3, "warmup_epochs": 1.0, "checkpoint_every": 3, "clip_norm": 1.0, "ema_decay": 0.9},
        {
            **dict.fromkeys(("epochs", "batch_size", "micro_batches"), integer(1)),
            "checkpoint_every": optional(integer(1)),
            "optimizer": choice("adamw", "sgd"),
            "precision": choice(*PRECISIONS),
            "lr": POSITIVE,
            "warmup_epochs": NOT_NEGATIVE,
            "clip_norm": optional(POSITIVE),
            "ema_decay": optional(RATE),
            "crop_padding": integer(0, 1024),
            "rand_augment": integer(0, 100),
            "flip": FLAG,
            "mixup": number(lambda value: 0 <= value <= 1e9),
            "cutmix": number(lambda value: 0 <= value <= 1e9),
            "erasing": number(is_share),
            "schedule": choice("cosine", "poly"),
            "decay_epochs": listed(NOTHING),  # none with these schedules
            "warmup_steps": integer(0, 0),  # not beside warmup_epochs
        },
    ),
    "npswin.training.Trainer.__init__": Example(
        lambda: {
            "model": tiny_model(),
            "train_data": tiny_data(),
            "test_data": tiny_data(8, "test"),
            "config": TrainConfig(),
            "out": "run",
            "normalization": ((0.4, 0.5, 0.6), (0.2, 0.3, 0.4)),
        },
        {
            "train_data": DATASET,
            "test_data": DATASET,
            "config": instance(TrainConfig),
            "out": PATH,
            "normalization": optional(either(PATH, NORMALIZATION)),
            "task": optional(instance(ClassificationTask)),
        },
    ),
    "npswin.training.Trainer.fit": Example(
        lambda: {"self": _finished_trainer(), "resume": True, "repair": False}, {"resume": FLAG, "repair": FLAG}
    ),
    "npswin.training.clip_gradients": Example(
        lambda: {"model": model_with_gradients(), "max_norm": 0.1}, {"max_norm": _POSITIVE_OR_INFINITE}
    ),
    "npswin.training.compute_gradients": Example(
        lambda: {"model": tiny_model(), "images": images(), "targets": np.array([0, 2]), "micro_batches": 2, "seed": 1},
        {
            "images": array("f", is_input),
            "targets": LABELS,
            "micro_batches": integer(1),
            "loss_scale": POSITIVE,
        },
        {"targets": "labels"},
    ),
    "npswin.training.decays": Example(
        lambda: {"name": "head.weight", "param": np.ones((2, 3))}, {"param": array("biufcOSUV")}
    ),
    "npswin.training.draw_attention": Example(
        lambda: {
            "model": tiny_model(),
            "dataset": tiny_data(4),
            "mean": (0.5,) * 3,
            "std": (0.2,) * 3,
            "path": "a.png",
            "index": 1,
        },
        {"index": integer(0, 3)},
    ),
    "npswin.training.draw_curves": Example(
        lambda: {"records": records(), "data_name": "data", "path": "c.png"},
        {"records": listed(instance(Mapping), at_least=1), "metric": instance(Metric), "loss_label": TEXT},
    ),
    **{f"npswin.training.{name}": Example(*example) for name, example in PICTURE_EXAMPLES.items()},
    "npswin.training.draw_predictions": Example(
        lambda: {"model": tiny_model(), "dataset": tiny_data(4), "mean": (0.5,) * 3, "std": (0.2,) * 3, "path": "p.png"}
    ),
    "npswin.training.evaluate": Example(
        lambda: {
            "model": tiny_model(),
            "dataset": tiny_data(4),
            "mean": (0.5,) * 3,
            "std": (0.2,) * 3,
            "batch_size": 3,
        },
        {"batch_size": optional(SIZE), "each_batch": optional(FUNCTION)},
    ),
    "npswin.training.read_normalization": Example(lambda: {"path": _checkpoint_file()}, {"path": PATH}),
    "npswin.training.set_threads": Example(lambda: {"count": 1}, {"count": integer(1, 4096)}),
    "npswin.training.warmup_cosine": Example(
        lambda: {"step": 3, "total_steps": 9, "base_lr": 0.1, "warmup_steps": 2, "min_lr": 0.01},
        {"step": integer(0, 2**63 - 1), "total_steps": integer(1, 2**63 - 1), "warmup_steps": integer(0, 8)},
    ),
}
