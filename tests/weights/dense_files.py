"""The golden files of dense models: weights of each layout, inputs, and what the layout's project computes."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from npswin import UPerNet
from npswin.models.detection import CascadeMaskRCNN, MaskRCNN
from npswin.types import Array
from npswin.weights import load_tensors, load_weights
from npswin.weights.load import model_tensors
from tests.weights.dense_peers import AUXILIARY, BACKBONE, CHANNELS, CLASSES, WIDTH

FOLDER = Path(__file__).parent / "golden"
# File -> the layout of its backbone.
SEGMENTERS = {"dense_transformers": "transformers", "dense_mmsegmentation": "openmmlab"}
DETECTORS = {"dense_mmdetection": "openmmlab", "dense_torchvision": "torchvision"}


def upernet(**arguments):
    """npswin's model of the same size, with fresh weights."""
    given = {"num_classes": CLASSES, "channels": CHANNELS, "auxiliary_channels": AUXILIARY, "dtype": "float64"}
    return UPerNet(**{**given, "seed": 1, **arguments, "backbone": {**BACKBONE, **arguments.get("backbone", {})}})


def mask_rcnn(kind=MaskRCNN, **arguments):
    """npswin's detector of the same size, with fresh weights."""
    given = {"num_classes": CLASSES, "channels": CHANNELS, "width": WIDTH, "dtype": "float64", "seed": 1}
    return kind(**{**given, **arguments, "backbone": {**BACKBONE, **arguments.get("backbone", {})}})


def cascade(**arguments):
    """npswin's cascade of the same size, with fresh weights."""
    return mask_rcnn(CascadeMaskRCNN, **arguments)


@dataclass
class Golden:
    """One file: tensors by the peer's names; inputs and outputs by name, channels last, in float64."""

    state: dict[str, Array]
    inputs: dict[str, Array]
    outputs: dict[str, Array]


def read(name: str) -> Golden:
    """Read a golden file; weights and inputs are exact in float16, outputs are float64."""
    tensors = load_tensors(FOLDER / f"{name}.safetensors")[0]
    found: dict[str, dict[str, Array]] = {"state": {}, "inputs": {}, "outputs": {}}
    for key, tensor in tensors.items():
        kind = key.split("/")[1] if key.startswith("golden/") else "state"
        found[kind][key.rpartition("/")[2]] = tensor
    for kind in ("inputs", "outputs"):
        for key, value in found[kind].items():
            value = value.astype(np.float64)
            is_map = value.ndim == 4 and key != "images"
            found[kind][key] = np.ascontiguousarray(value.transpose(0, 2, 3, 1)) if is_map else value
    return Golden(**found)


def official(name: str) -> dict[str, Array]:
    """A golden file's weights as the official dense-prediction code names and orders them: npswin's names."""
    model = upernet() if name in SEGMENTERS else mask_rcnn()
    load_weights(model, read(name).state, strict=name != "dense_torchvision")  # which has no norms of stages
    return model_tensors(model)
