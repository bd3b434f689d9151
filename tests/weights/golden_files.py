"""The golden files: weights in each layout, with images and the logits of that layout's project."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from npswin import SwinTransformer
from npswin.types import Array
from npswin.weights import load_tensors

FOLDER = Path(__file__).parent / "golden"

# File -> its layout.
LAYOUTS = {
    "timm_older": "official",
    "timm": "timm",
    "torchvision": "torchvision",
    "transformers_hub": "transformers",
    "transformers_modules": "transformers",
    "unfold_relative": "swin-transformer-pytorch",
    "unfold_full": "swin-transformer-pytorch",
    "openmmlab": "openmmlab",
}


@dataclass
class Golden:
    """One file: tensors by the peer's names, npswin's arguments for the same model, images and the peer's logits."""

    state: dict[str, Array]
    arguments: dict[str, Any]
    images: Array
    logits: Array

    def model(self, **overrides: Any) -> SwinTransformer:
        """npswin's model of the same kind, with fresh weights."""
        return SwinTransformer(**{**self.arguments, "dtype": "float64", **overrides})


def read(name: str) -> Golden:
    """Read a golden file; all its numbers are exact in float32, except the logits, which are float64."""
    tensors, metadata = load_tensors(FOLDER / f"{name}.safetensors")
    images, logits = tensors.pop("golden/images"), tensors.pop("golden/logits")
    return Golden(tensors, json.loads(metadata["model"]), images.astype(logits.dtype), logits)
