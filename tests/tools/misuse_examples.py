"""A right call of each public function, and which values are right for each of its arguments.

A new function needs an entry in `EXAMPLES`: a function that returns its arguments by name, always new ones, with "self"
for a method; and a `Kind` for each argument whose name is not in `KINDS`. What is returned is not compared with
anything but the same call with plain values, so small arguments do.
"""

import contextlib
import io
import os
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

from npswin.data import ImageDataset, one_hot
from npswin.data.cifar10_download import FOLDER, TEST_FILES, TRAIN_FILES
from npswin.layers import Layer
from npswin.models import CONFIGS, SwinTransformer
from npswin.models.flops import Flops
from npswin.training import SGD, AdamW, Ema, TrainConfig, Trainer
from npswin.training.tasks.classification import ClassificationTask
from npswin.training.tasks.metric import Metric
from npswin.verify import Trace, compare, trace, write_key
from npswin.weights import save_tensors
from tests.layers.drawn import make
from tests.models.tiny import tiny
from tests.tools.misuse_data import DATA_EXAMPLES
from tests.tools.misuse_models import MODEL_EXAMPLES
from tests.tools.misuse_samples import PICTURE_EXAMPLES, SAMPLE_EXAMPLES
from tests.tools.misuse_tasks import TASK_EXAMPLES
from tests.tools.misuse_values import (
    FLAG,
    FUNCTION,
    GENERATOR,
    NOT_NEGATIVE,
    NOTHING,
    PATH,
    POSITIVE,
    RATE,
    TEXT,
    Kind,
    array,
    choice,
    dtype,
    either,
    instance,
    integer,
    like,
    listed,
    number,
    numbers,
    optional,
)
from tests.training.tiny import CLASSES, tiny_data, tiny_model, tiny_trainer

LARGEST = 2**31 - 1
FOLDER_NAME = Kind(lambda value: isinstance(value, str) and value.replace("-", "").isalnum() and value.isascii())
SIZE = integer(1, LARGEST)
PRECISIONS = ("full", "tf32", "bfloat16", "float16")
POSITION_BIASES = ("per_head", "shared", "full", "none")


def _share(value: float) -> bool:
    return 0 <= value <= 1


def _is_batch(a: np.ndarray) -> bool:
    return a.ndim == 4 and a.size > 0 and (_is_of_pixels(a) or a.dtype.kind == "f")


def _is_vector(value: Any) -> bool:
    return isinstance(value, list | tuple) or (type(value) is np.ndarray and value.ndim == 1)


def _is_of_pixels(a: np.ndarray) -> bool:
    return a.dtype in (np.uint8, np.uint16)


def _is_distributions(a: np.ndarray) -> bool:
    return a.ndim == 2 and bool((a >= 0).all()) and bool((abs(a.sum(axis=1) - 1) < 1e-3).all())


def _weight_file() -> str:
    save_tensors("w.safetensors", {"a": np.ones(2)})
    return "w.safetensors"


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


BATCH = array("uf", _is_batch)
PIXELS = array("u", lambda a: _is_batch(a) and _is_of_pixels(a))
COLOURS = array("u", lambda a: _is_batch(a) and a.dtype == np.uint8 and a.shape[1] == 3)
THREE, THREE_POSITIVE = numbers(3), numbers(3, lambda value: value > 0)
MODEL, DATASET = instance(SwinTransformer), instance(ImageDataset)
LAYER_DTYPE, FLOAT_DTYPE = dtype("float32", "float64"), dtype()

EMPTY = Kind(lambda value: isinstance(value, dict) and not value)

# By name of the argument, where an example does not have its own.
KINDS: dict[str, Kind] = {
    **dict.fromkeys(("seed", "epoch", "step"), integer(0)),
    **dict.fromkeys(("count", "num_classes", "dataset_size", "dim", "in_features", "out_features", "hidden_dim"), SIZE),
    **dict.fromkeys(("patch_size", "in_chans", "embed_dim", "num_heads", "window_size"), SIZE),
    "batch_size": SIZE,
    **dict.fromkeys(
        ("train", "download", "frozen", "bias", "norm", "training", "qkv_bias", "strict", "backward"), FLAG
    ),
    **dict.fromkeys(("drop", "drop_path", "attn_drop", "proj_drop", "label_smoothing"), RATE),
    **dict.fromkeys(("lr", "weight_decay", "base_lr", "min_lr"), NOT_NEGATIVE),
    **dict.fromkeys(("name", "split", "data_name", "pattern"), TEXT),
    "rng": GENERATOR,
    "images": BATCH,
    "targets": array("f", _is_distributions),
    "mean": THREE,
    "std": THREE_POSITIVE,
    "dtype": LAYER_DTYPE,
    "path": PATH,
    "model": MODEL,
    "dataset": DATASET,
    "cache": NOTHING,
    "precision": choice("full"),
    "mlp_ratio": POSITIVE,
    "shift_size": integer(0),
    "head_dim": optional(SIZE),
    "position_bias": choice(*POSITION_BIASES),
    "mask_value": number(lambda value: value < 0, finite=False),
}


class Example(NamedTuple):
    """A right call.

    Attributes:
        arguments: returns them by name, with "self" for a method.
        kinds: by name of an argument, where it is not the one in `KINDS`.
        other_names: of an argument in messages, such as "labels" for targets.
        fits: whether arguments that are right by themselves are right together, if it is known.
        rounds: whether results may differ by rounding: sums of an array with another layout are in another order.
    """

    arguments: Callable[[], dict[str, Any]]
    kinds: dict[str, Kind] = {}  # noqa: RUF012
    other_names: dict[str, str] = {}  # noqa: RUF012
    fits: Callable[[Mapping[str, Any]], bool] | None = None
    rounds: bool = False


def pixels() -> np.ndarray:
    """Four images."""
    return tiny_data(4).images


def floats() -> np.ndarray:
    """The same, as floats."""
    return pixels().astype(np.float32) / 255


def images() -> np.ndarray:
    """What the model of `tests/training/tiny.py` takes."""
    return np.random.default_rng(3).standard_normal((2, 3, 8, 8)).astype(np.float32)


def rng() -> np.random.Generator:
    """A new generator."""
    return np.random.default_rng(5)


def targets() -> np.ndarray:
    """Soft targets of four images."""
    return one_hot(tiny_data(4).labels, 3)


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


@cache
def _cifar10(parent: str) -> str:
    """A folder with CIFAR-10's files, all zeros."""
    folder = Path(parent, FOLDER)
    folder.mkdir(parents=True)
    for name in (*TRAIN_FILES, *TEST_FILES):
        with open(folder / name, "wb") as file:
            file.truncate(10_000 * 3073)
    return str(folder)


@cache
def _trace() -> Trace:
    model = tiny(dtype="float32")
    x = np.random.default_rng(0).standard_normal((1, 3, 8, 8)).astype(np.float32)
    return trace(model, x, [1])


@cache
def _key(parent: str) -> str:
    return str(write_key(_trace(), Path(parent, "key")))


def dump() -> dict[str, np.ndarray]:
    """A port's tensors."""
    return {name: _trace().tensors[name].copy() for name in ("patch_embed.norm", "head")}


def records() -> list[dict[str, Any]]:
    """Lines of metrics.jsonl."""
    lines: list[dict[str, Any]] = [{"epoch": 1, "step": step, "loss": 1.0, "lr": 0.1} for step in (1, 2)]
    lines[-1].update(test_loss=1.0, test_accuracy=0.5)
    return lines


class Square:
    """A layer for gradient checks."""

    def __init__(self):
        self.params, self.grads = {"b": np.ones(3)}, {"b": np.zeros(3)}

    def forward(self, x):
        return self.params["b"] * x * x, x

    def backward(self, dy, x):
        self.grads["b"] += (dy * x * x).sum(axis=0)
        return 2 * dy * x * self.params["b"]


class _Called:
    """Something that can be watched."""

    def __call__(self, x):
        return x


def _channels_last(channels: int, rank: int | None = None) -> Kind:
    def check(a):
        shape = a.ndim >= 1 and a.size > 0 and a.shape[-1] == channels and rank in (None, a.ndim)
        return shape and a.dtype == np.float64

    return array("f", check)


def _layer_examples() -> dict[str, Example]:
    kinds = {
        "linear": ("Linear", _channels_last(4)),
        "layer_norm": ("LayerNorm", _channels_last(4)),
        "batch_norm": ("BatchNorm2d", _channels_last(4, 4)),
        "mlp": ("Mlp", _channels_last(4)),
        "window_attention": ("WindowAttention", _channels_last(4, 4)),
        "swin_transformer_block": ("SwinTransformerBlock", _channels_last(4, 4)),
        "patch_embed": ("PatchEmbed", array("f", lambda a: _is_batch(a) and a.dtype == np.float64)),
        "patch_merging": ("PatchMerging", _channels_last(4, 4)),
        "mean_pool": ("MeanPool", array("f", lambda a: a.ndim == 4 and a.size > 0 and a.dtype in ("f4", "f8"))),
        "position_embed": ("PositionEmbed", _channels_last(4, 4)),
    }
    found = {}
    for made, (cls, kind) in kinds.items():
        own = {"x": kind, "rng": optional(GENERATOR)}

        def forward(made=made, more=()):
            layer, x = make(made)
            return {"self": layer, "x": x}

        def forward_rng(made=made):
            return {**forward(made), "rng": rng()}

        def backward(made=made):
            layer, x = make(made)
            y, layer_cache = layer.forward(x)
            return {"self": layer, "dy": np.cos(y), "cache": layer_cache}

        dy = {"dy": like(backward()["dy"])}
        found[f"npswin.layers.{cls}.__call__"] = Example(forward, own)
        found[f"npswin.layers.{cls}.forward"] = Example(forward_rng, own)
        found[f"npswin.layers.{cls}.backward"] = Example(backward, dy)
        if cls in ("Mlp", "WindowAttention"):
            found[f"npswin.layers.{cls}.draw_masks"] = Example(forward_rng, own)
        if cls == "WindowAttention":
            found[f"npswin.layers.{cls}.probabilities"] = Example(forward, own)
    return found


def _are_inputs(value: Any) -> bool:
    values = value if isinstance(value, list | tuple) else [value]
    arrays = [one for one in values if isinstance(one, np.ndarray)]
    right = all(type(one) is np.ndarray and (one.dtype == np.float64 or one.dtype.kind in "biu") for one in arrays)
    return right and len(values) > 0 and (isinstance(value, list | tuple) or len(arrays) == 1)


def _linear() -> Layer:
    return make("linear")[0]


_GRADIENTS = listed(optional(array("f", lambda a: a.shape == (3, 4))), at_least=1)
_SIDES = either(integer(1), numbers(2, lambda side: side >= 1 and side == int(side)))
_IMG_SIZE = either(
    SIZE,
    Kind(
        lambda value: (
            (isinstance(value, list | tuple) or (type(value) is np.ndarray and value.ndim == 1))
            and len(value) == 2
            and all(map(SIZE.accepts, value))
        ),
        lambda value: tuple(map(int, value)),
    ),
)
_STAGES = Kind(
    lambda value: (
        (isinstance(value, list | tuple) or (type(value) is np.ndarray and value.ndim == 1))
        and len(value) > 0
        and all(map(SIZE.accepts, value))
    ),
    lambda value: [int(one) for one in value],
)
_MODEL_KINDS: dict[str, Kind] = {
    "img_size": optional(_IMG_SIZE),
    "num_classes": integer(0, LARGEST),
    "depths": _STAGES,
    "num_heads": _STAGES,
    **dict.fromkeys(("ape", "patch_norm", "merge_norm", "merge_bias", "norm_after_pool"), FLAG),
    **dict.fromkeys(("drop_rate", "attn_drop_rate", "drop_path_rate"), RATE),
}
_MODEL_ARGUMENTS = {
    "img_size": 8, "patch_size": 2, "in_chans": 3, "num_classes": 3, "embed_dim": 4, "depths": (2,), "num_heads": (2,),
    "window_size": 2, "mlp_ratio": 2.0, "drop_rate": 0.1, "attn_drop_rate": 0.1, "drop_path_rate": 0.1, "head_dim": 2,
    "ape": True,
}  # fmt: skip


def _is_input(a: np.ndarray) -> bool:
    return _is_batch(a) and a.dtype == np.float32 and bool(np.isfinite(a).all())


_MODEL_INPUT = {"images": array("f", _is_input), "rng": optional(GENERATOR)}


def _model_method(**arguments: Any) -> Callable[[], dict[str, Any]]:
    return lambda: {"self": tiny_model(), "images": images(), **{name: make_() for name, make_ in arguments.items()}}


def _backward(of_maps: bool) -> dict[str, Any]:
    model = tiny_model()
    y, model_cache = model.feature_maps_forward(images()) if of_maps else model.forward(images())
    return {
        "self": model,
        "dmaps" if of_maps else "dlogits": [np.cos(y[0])] if of_maps else np.cos(y),
        "cache": model_cache,
    }


_INTEGER_LABELS = array("iu", lambda a: a.ndim == 1 and a.size > 0 and a.min() >= 0 and a.max() < 3, lists=True)
_NORMALIZATION = Kind(
    lambda value: (
        isinstance(value, list | tuple)
        and len(value) == 2
        and THREE.accepts(value[0])
        and THREE_POSITIVE.accepts(value[1])
    )
)
_LABELS = either(_INTEGER_LABELS, array("f", _is_distributions, lists=True))
_FLOAT_MAP = array("f", lambda a: a.ndim == 2 and a.size > 0 and a.dtype in ("f4", "f8"), lists=True)
_POSITIVE_OR_INFINITE = number(lambda value: value > 0, finite=False)
_ANY_NUMBER = number(finite=False)

_BLOCK = either(integer(-2, 1), choice("layers.0.blocks.0", "layers.0.blocks.1"))
_PLACE = Kind(
    lambda value: _is_vector(value) and len(value) == 2 and all(integer(0, 3).accepts(one) for one in value),
    lambda value: tuple(map(int, value)),
)
_CLASSES = either(
    integer(0, 2),
    Kind(
        lambda value: _is_vector(value) and len(value) == 2 and all(integer(0, 2).accepts(one) for one in value),
        lambda value: list(map(int, value)),
    ),
)

EXAMPLES: dict[str, Example] = {
    # data
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
            "probability": number(_share),
            "area": numbers(2, lambda value: 0 < value <= 1, increasing=True),
            "aspect": numbers(2, lambda value: value > 0, increasing=True),
        },
    ),
    "npswin.data.random_flip": Example(lambda: {"images": pixels(), "rng": rng()}),
    "npswin.data.steps_per_epoch": Example(lambda: {"dataset_size": 7, "batch_size": 3}),
    # layers
    **_layer_examples(),
    "npswin.layers.Layer.add_parameter": Example(
        lambda: {"self": _linear(), "name": "more", "value": np.ones((2, 3)), "dtype": "float32"},
        {"value": array("biuf", lists=True)},
    ),
    "npswin.layers.Layer.add_buffer": Example(
        lambda: {"self": _linear(), "name": "more", "value": np.ones((2, 3)), "dtype": "float32"},
        {"value": array("biuf", lists=True), "dtype": dtype("float32", "float64", "int64")},
    ),
    "npswin.layers.Layer.add_child": Example(
        lambda: {"self": _linear(), "name": "more", "layer": _linear()}, {"layer": instance(Layer)}
    ),
    "npswin.layers.Layer.select": Example(
        lambda: {"self": _linear(), "names": ("weight", "bias")}, {"names": listed(TEXT, tuple)}
    ),
    "npswin.layers.Layer.accumulate": Example(
        lambda: {"self": _linear(), "names": ("weight",), "gradients": [np.ones((3, 4))]},
        {"names": listed(choice("weight", "bias"), tuple), "gradients": _GRADIENTS},
    ),
    "npswin.layers.Layer.to": Example(lambda: {"self": _linear(), "device": "cpu"}, {"device": choice("cpu", "cuda")}),
    "npswin.layers.BatchNorm2d.__init__": Example(lambda: {"dim": 4, "dtype": "float64", "frozen": True}),
    "npswin.layers.LayerNorm.__init__": Example(lambda: {"dim": 4, "dtype": "float64"}),
    "npswin.layers.Linear.__init__": Example(lambda: {"in_features": 4, "out_features": 3, "rng": rng()}),
    "npswin.layers.Mlp.__init__": Example(lambda: {"dim": 4, "hidden_dim": 3, "rng": rng(), "drop": 0.1}),
    "npswin.layers.PatchEmbed.__init__": Example(
        lambda: {"patch_size": 2, "in_chans": 3, "embed_dim": 4, "rng": rng()}
    ),
    "npswin.layers.PatchMerging.__init__": Example(lambda: {"dim": 4, "rng": rng()}),
    "npswin.layers.PositionEmbed.__init__": Example(
        lambda: {"dim": 4, "grid": (2, 3), "rng": rng(), "drop": 0.1},
        {"grid": optional(Kind(lambda value: isinstance(value, list | tuple) and _IMG_SIZE.accepts(value), tuple))},
    ),
    "npswin.layers.SwinTransformerBlock.__init__": Example(
        lambda: {"dim": 4, "num_heads": 2, "window_size": 3, "rng": rng(), "shift_size": 1}
    ),
    "npswin.layers.WindowAttention.__init__": Example(
        lambda: {"dim": 4, "num_heads": 2, "window_size": 3, "rng": rng(), "shift_size": 1}
    ),
    # models
    "npswin.models.Flops.within": Example(
        lambda: {"self": Flops({"a.b": 2, "a.c": 3}), "name": "a"}, {"name": choice("a")}
    ),
    "npswin.models.SwinTransformer.__init__": Example(lambda: dict(_MODEL_ARGUMENTS), _MODEL_KINDS),
    **{
        f"npswin.models.SwinTransformer.{name}": Example(_model_method(), _MODEL_INPUT)
        for name in ("__call__", "activations", "attention_maps", "feature_maps")
    },
    **{
        f"npswin.models.SwinTransformer.{name}": Example(_model_method(rng=rng), _MODEL_INPUT)
        for name in ("forward", "feature_maps_forward")
    },
    "npswin.models.SwinTransformer.backward": Example(
        lambda: _backward(False), {"dlogits": like(np.ones((2, 3), np.float32))}
    ),
    "npswin.models.SwinTransformer.feature_maps_backward": Example(
        lambda: _backward(True), {"dmaps": listed(like(np.ones((2, 8, 4, 4), np.float32)), at_least=1)}
    ),
    "npswin.models.SwinTransformer.flops": Example(
        lambda: {"self": tiny_model(), "image_size": 8}, {"image_size": optional(either(integer(1), _IMG_SIZE))}
    ),
    "npswin.models.SwinTransformer.save": Example(lambda: {"self": tiny_model(), "path": "model.safetensors"}),
    **{f"npswin.models.{name}": Example(*example) for name, example in MODEL_EXAMPLES.items()},
    "npswin.models.attention_maps": Example(
        lambda: {"model": tiny_model(), "images": images(), "block": 1, "query": (2, 1), "head": 0, "pixels": True},
        {
            "images": array("f", _is_input),
            "block": _BLOCK,
            "query": optional(_PLACE),
            "head": optional(integer(0, 1)),
            "pixels": FLAG,
        },
    ),
    "npswin.models.grad_cam": Example(
        lambda: {"model": tiny_model(), "images": images(), "classes": [0, 2], "block": 1, "pixels": True},
        {"images": array("f", _is_input), "classes": optional(_CLASSES), "block": _BLOCK, "pixels": FLAG},
        rounds=True,
    ),
    "npswin.models.create_model": Example(
        lambda: {"name": "swin_nano_patch2_window4_32", "num_classes": 2, "depths": (1,), "num_heads": (1,)},
        {**_MODEL_KINDS, "name": choice(*CONFIGS)},
    ),
    "npswin.models.list_models": Example(lambda: {"pattern": "*nano*"}),
    "npswin.models.warmup": Example(lambda: {"dtype": "float32", "training": False}),
    # training
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
    "npswin.training.Ema.update_with_decay": Example(lambda: {"self": ema(), "decay": 0.5}, {"decay": number(_share)}),
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
            "erasing": number(_share),
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
            "normalization": optional(either(PATH, _NORMALIZATION)),
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
            "images": array("f", _is_input),
            "targets": _LABELS,
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
    # verify
    "npswin.verify.AnswerKey.__init__": Example(lambda: {"folder": _key(os.getcwd())}, {"folder": PATH}),
    "npswin.verify.Comparison.rows_of_pass": Example(
        lambda: {"self": compare(_trace(), dump()), "backward": False}, {"backward": FLAG}
    ),
    "npswin.verify.Comparison.first_error": Example(
        lambda: {"self": compare(_trace(), dump()), "backward": False}, {"backward": FLAG}
    ),
    **{
        f"npswin.verify.{name}": Example(
            lambda: {"key": _trace(), "dump": dump(), "precision": "float32"},
            {
                "key": either(PATH, instance(Trace)),
                "dump": either(PATH, NOTHING),
                "precision": optional(choice("float64", "float32", "tf32", "float16", "bfloat16")),
            },
        )
        for name in ("compare", "diagnose")
    },
    "npswin.verify.compare_dumps": Example(
        lambda: {"first": dump(), "second": dump(), "precision": "float32"},
        {
            "first": either(PATH, NOTHING),
            "second": either(PATH, NOTHING),
            "precision": optional(choice("float64", "float32", "tf32", "float16", "bfloat16")),
        },
    ),
    "npswin.verify.gradcheck": Example(
        lambda: {
            "layer_or_function": Square(),
            "inputs": np.random.default_rng(0).standard_normal((2, 3)),
            "directions": 2,
            "seed": 1,
        },
        {
            "layer_or_function": NOTHING,
            "inputs": Kind(_are_inputs, is_called=True),
            "method": choice("central", "complex"),
            "along": choice(None, "coordinates", "directions", "joint"),
            "step": optional(number(lambda value: 0 < value <= 1)),
            "tolerance": optional(RATE),
            "max_coordinates": integer(0),
            "directions": SIZE,
            "raise_on_failure": FLAG,
        },
        {"inputs": "input"},
    ),
    "npswin.verify.trace": Example(
        lambda: {"model": tiny_model(depths=(1,)), "x": images(), "labels": np.array([0, 2]), "backward": True},
        {
            "x": array("f", _is_input),
            "labels": _INTEGER_LABELS,
            "normalization": optional(_NORMALIZATION),
            "progress": FUNCTION,
        },
    ),
    "npswin.verify.watch": Example(
        lambda: {"module": _Called(), "names": {"a": "b"}},
        {
            "module": Kind(lambda value: callable(value) and hasattr(value, "__dict__")),
            "names": optional(either(FUNCTION, instance(Mapping))),
        },
    ),
    "npswin.verify.write_key": Example(
        lambda: {"trace": _trace(), "folder": "other key", "only": ["head*"], "sample": 3, "seed": 1},
        {
            "trace": instance(Trace),
            "folder": PATH,
            "only": listed(TEXT),
            "sample": optional(integer(1)),
            "cases": listed(FOLDER_NAME),
        },
    ),
    # weights
    "npswin.weights.detect_layout": Example(
        lambda: {"keys": list(tiny_model().params)},
        {"keys": listed(TEXT, (list, tuple, set, dict))},
        {"keys": "key"},
    ),
    "npswin.weights.to_official": Example(
        lambda: {"tensors": tiny_model().params, "in_chans": 3},
        {"tensors": NOTHING, "like": optional(NOTHING), "in_chans": SIZE},
        {"tensors": "key", "like": "key"},
    ),
    "npswin.weights.load_weights": Example(
        lambda: {
            "model": tiny_model(),
            "source": tiny_model(seed=1).params,
            "min_share": 0.5,
            "input_channels": "adapt",
            "part": "all",
            "head": "keep",
        },
        {
            "source": PATH,
            "strict": FLAG,
            "prefix": optional(TEXT),
            "min_share": number(lambda value: 0 <= value <= 1),
            "input_channels": choice("same", "adapt", "keep"),
            "part": choice("all"),
            "head": either(choice("load", "keep"), GENERATOR),
        },
        {"source": "key"},
    ),
    "npswin.weights.model_tensors": Example(lambda: {"model": tiny_model()}),
    "npswin.weights.save_tensors": Example(
        lambda: {"path": "w.safetensors", "tensors": tiny_model().params, "metadata": {"a": "b"}},
        {"path": PATH, "tensors": EMPTY, "metadata": optional(EMPTY), "progress": FUNCTION},
    ),
    "npswin.weights.load_tensors": Example(lambda: {"path": _weight_file()}, {"path": PATH}),
    "npswin.weights.TensorFile.__init__": Example(lambda: {"path": _weight_file()}, {"path": PATH}),
    # backends and devices
    "npswin.backends.allow_tf32": Example(lambda: {"allowed": True}, {"allowed": FLAG}),
    "npswin.backends.missing_ops": Example(lambda: {"backend": "cuda"}, {"backend": choice("numpy", "cpu", "cuda")}),
    "npswin.backends.set_backend": Example(lambda: {"backend": "numpy"}, {"backend": choice("numpy", "cpu")}),
    "npswin.backends.set_thread_count": Example(lambda: {"count": 2}, {"count": integer(1, 4096)}),
    "npswin.devices.half_dtype": Example(lambda: {"name": "float16"}, {"name": choice("float16", "bfloat16")}),
    # npswin
    "npswin.cross_entropy": Example(
        lambda: {"logits": np.random.default_rng(0).standard_normal((2, 3)), "labels": np.array([0, 2])},
        {"logits": _FLOAT_MAP, "labels": _LABELS, "scale": number()},
    ),
}
