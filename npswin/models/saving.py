"""Weight files of models."""

import json
from os import PathLike
from typing import Any

from npswin.checks import check_path
from npswin.devices import to_host
from npswin.weights import save_tensors
from npswin.weights.load import model_tensors


def save_model(model: Any, path: str | PathLike[str]) -> None:
    """Write a model's parameters and buffers to a safetensors file, with its `config` in the metadata.

    Raises:
        ValueError: this is no path.
        OSError: the file could not be written.
    """
    tensors = {name: to_host(tensor) for name, tensor in model_tensors(model).items()}
    save_tensors(check_path("path", path), tensors, {"config": json.dumps(model.config)})
