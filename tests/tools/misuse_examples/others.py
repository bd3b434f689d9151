"""Right calls of weight files, backends and devices, and the loss."""

import numpy as np

from npswin.weights import save_tensors
from tests.tools.misuse_examples.example import LABELS, SIZE, Example
from tests.tools.misuse_values import (
    FLAG,
    FUNCTION,
    GENERATOR,
    NOTHING,
    PATH,
    TEXT,
    Kind,
    array,
    choice,
    either,
    integer,
    listed,
    number,
    optional,
)
from tests.training.tiny import tiny_model


def _weight_file() -> str:
    save_tensors("w.safetensors", {"a": np.ones(2)})
    return "w.safetensors"


EMPTY = Kind(lambda value: isinstance(value, dict) and not value)

_FLOAT_MAP = array("f", lambda a: a.ndim == 2 and a.size > 0 and a.dtype in ("f4", "f8"), lists=True)


EXAMPLES: dict[str, Example] = {
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
    "npswin.backends.allow_bfloat16": Example(lambda: {"allowed": False}, {"allowed": FLAG}),
    "npswin.backends.allow_tf32": Example(lambda: {"allowed": True}, {"allowed": FLAG}),
    "npswin.backends.missing_ops": Example(lambda: {"backend": "cuda"}, {"backend": choice("numpy", "cpu", "cuda")}),
    "npswin.backends.set_backend": Example(lambda: {"backend": "numpy"}, {"backend": choice("numpy", "cpu")}),
    "npswin.backends.set_thread_count": Example(lambda: {"count": 2}, {"count": integer(1, 4096)}),
    "npswin.devices.half_dtype": Example(lambda: {"name": "float16"}, {"name": choice("float16", "bfloat16")}),
    "npswin.cross_entropy": Example(
        lambda: {"logits": np.random.default_rng(0).standard_normal((2, 3)), "labels": np.array([0, 2])},
        {"logits": _FLOAT_MAP, "labels": LABELS, "scale": number()},
    ),
}
