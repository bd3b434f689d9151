"""Right calls of the answer key, comparisons and gradient checks."""

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from npswin.verify import Trace, compare, trace, write_key
from tests.models.tiny import tiny
from tests.tools.misuse_examples.example import INTEGER_LABELS, NORMALIZATION, SIZE, Example, images, is_input
from tests.tools.misuse_values import (
    FLAG,
    FUNCTION,
    NOTHING,
    PATH,
    RATE,
    TEXT,
    Kind,
    array,
    choice,
    either,
    instance,
    integer,
    listed,
    number,
    optional,
)
from tests.training.tiny import tiny_model

FOLDER_NAME = Kind(lambda value: isinstance(value, str) and value.replace("-", "").isalnum() and value.isascii())


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


def _are_inputs(value: Any) -> bool:
    values = value if isinstance(value, list | tuple) else [value]
    arrays = [one for one in values if isinstance(one, np.ndarray)]
    right = all(type(one) is np.ndarray and (one.dtype == np.float64 or one.dtype.kind in "biu") for one in arrays)
    return right and len(values) > 0 and (isinstance(value, list | tuple) or len(arrays) == 1)


EXAMPLES: dict[str, Example] = {
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
            "x": array("f", is_input),
            "labels": INTEGER_LABELS,
            "normalization": optional(NORMALIZATION),
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
}
