"""What a door is, and what the checks of several doors need."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from npswin.models import SwinTransformer
from npswin.verify.key import golden
from tests.tools.fuzzing.workspace import Files

LONGEST_MESSAGE = 2000
SMALL_MODEL: dict[str, Any] = {
    "img_size": 8, "patch_size": 2, "in_chans": 1, "num_classes": 3, "embed_dim": 4, "depths": (2,), "num_heads": (2,),
    "window_size": 2, "mlp_ratio": 1.0, "drop_path_rate": 0.0,
}  # fmt: skip


class Wrong(Exception):
    """A file was accepted, and what came of it is wrong."""


@dataclass
class Sample:
    """One set of files to read.

    Attributes:
        folder: where they are.
        files: what they hold.
        seed: the valid files from which they were mutated.
        only_bytes: whether bytes were mutated, regardless of the format; False where its structure was.
        number: of the sample, for checks that are too long for each.
    """

    folder: Path
    files: Files
    seed: Files
    only_bytes: bool
    number: int


@dataclass
class Door:
    """A function that reads files.

    Attributes:
        name: of the door.
        errors: that are documented.
        seeds: valid files.
        read: reads a sample and checks the result; returns a text that says what kind of result it was.
        mutated: names of the files that are mutated; all if empty.
        changes_files: whether the function itself writes.
    """

    name: str
    errors: tuple[type[Exception], ...]
    seeds: list[Files]
    read: Callable[[Sample], str]
    mutated: tuple[str, ...] = ()
    changes_files: bool = False


def require(condition: bool, text: str) -> None:
    """Raise `Wrong` with the text unless the condition holds."""
    if not condition:
        raise Wrong(text)


_DETAILS = re.compile(r"'[^']*'|\"[^\"]*\"|\([^()]*\)|\[[^\[\]]*\]|[^\x20-\x7e]+|-?\d[\w.+-]*")


def normalized(message: str, folder: Path) -> str:
    """A message without paths, numbers and quotations."""
    return _DETAILS.sub("#", message[:LONGEST_MESSAGE].replace(str(folder), ""))[:120]


def small_model(seed: int = 0, **changes: Any) -> SwinTransformer:
    """A model of `SMALL_MODEL`, with some arguments changed and drawn weights."""
    model = SwinTransformer(**{**SMALL_MODEL, **changes})
    golden.randomize_weights(model, seed)
    return model


def same(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    """Whether two sets of tensors have the same names, shapes and numbers."""
    return one.keys() == other.keys() and all(equal(one[name], other[name]) for name in one)


def equal(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two arrays have the same shape and numbers; NaN is NaN."""
    return one.shape == other.shape and bool(np.array_equal(one, other, equal_nan=True))
