"""A right call, which values are right for arguments that many functions have, and small data for calls."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from npswin.data import ImageDataset
from npswin.models import SwinTransformer
from tests.tools.misuse_values import (
    FLAG,
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
    number,
    numbers,
    optional,
)


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


LARGEST = 2**31 - 1
SIZE = integer(1, LARGEST)
POSITION_BIASES = ("per_head", "shared", "full", "none")


def is_share(value: float) -> bool:
    return 0 <= value <= 1


def is_batch(a: np.ndarray) -> bool:
    return a.ndim == 4 and a.size > 0 and (is_of_pixels(a) or a.dtype.kind == "f")


def is_of_pixels(a: np.ndarray) -> bool:
    return a.dtype in (np.uint8, np.uint16)


def is_distributions(a: np.ndarray) -> bool:
    return a.ndim == 2 and bool((a >= 0).all()) and bool((abs(a.sum(axis=1) - 1) < 1e-3).all())


def is_input(a: np.ndarray) -> bool:
    return is_batch(a) and a.dtype == np.float32 and bool(np.isfinite(a).all())


BATCH = array("uf", is_batch)
THREE, THREE_POSITIVE = numbers(3), numbers(3, lambda value: value > 0)
MODEL, DATASET = instance(SwinTransformer), instance(ImageDataset)
LAYER_DTYPE, FLOAT_DTYPE = dtype("float32", "float64"), dtype()

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
    "targets": array("f", is_distributions),
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

IMG_SIZE = either(
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

INTEGER_LABELS = array("iu", lambda a: a.ndim == 1 and a.size > 0 and a.min() >= 0 and a.max() < 3, lists=True)
NORMALIZATION = Kind(
    lambda value: (
        isinstance(value, list | tuple)
        and len(value) == 2
        and THREE.accepts(value[0])
        and THREE_POSITIVE.accepts(value[1])
    )
)
LABELS = either(INTEGER_LABELS, array("f", is_distributions, lists=True))


def images() -> np.ndarray:
    """What the model of `tests/training/tiny.py` takes."""
    return np.random.default_rng(3).standard_normal((2, 3, 8, 8)).astype(np.float32)


def rng() -> np.random.Generator:
    """A new generator."""
    return np.random.default_rng(5)
