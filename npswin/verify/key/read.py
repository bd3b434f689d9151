"""Reads an answer key: its graph, and its tensors one at a time."""

import json
from collections.abc import Mapping
from math import prod
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from npswin.checks import check_path
from npswin.files import FileError
from npswin.models import SwinTransformer
from npswin.types import Array
from npswin.verify.graph import GRADIENT_PREFIX, Graph, swin_graph
from npswin.verify.key.write import FORMAT, POSITIONS_PREFIX, VERSION
from npswin.weights import TensorFile, WeightFileError

LONGEST_MANIFEST = 64 * 2**20  # bytes
LARGEST_WINDOW = 128


class AnswerKeyError(FileError):
    """A folder is not an answer key, or is damaged; the message names the file and what is wrong in it."""


class AnswerKey:
    """The folder that `npswin golden` writes.

    Args:
        folder: with key.safetensors and manifest.json.

    Attributes:
        graph: the model's graph.
        config: the model's arguments.
        shapes: by name of every tensor that the manifest lists, gradients as "grad/" + name, in order.
        tolerances: by precision and name the tolerances that comparisons with this key have computed.

    Raises:
        ValueError: the folder is no path.
        AnswerKeyError: one of the files is missing or damaged, or they are of two keys.
    """

    def __init__(self, folder: str | PathLike[str]) -> None:
        self.folder = check_path("folder", folder)
        self.tolerances: dict[str, dict[str, Any]] = {}
        path = self.folder / "key.safetensors"
        manifest = _manifest(self.folder / "manifest.json")
        try:
            self.file = TensorFile(path)
        except FileNotFoundError as error:
            raise AnswerKeyError(f"{path}: no such file; `npswin golden {self.folder}` writes one") from error
        except (WeightFileError, OSError) as error:
            raise AnswerKeyError(str(error)) from error
        try:
            self.config: dict[str, Any] = dict(manifest["config"])
            check_config(self.config, manifest["image_size"], self.file.shapes)
            self.graph = _graph(manifest, self.file.shapes)
            self.shapes = {str(entry["name"]): tuple(entry["shape"]) for entry in manifest["tensors"]}
            loss = float(manifest["loss"])
            stored = [str(entry["name"]) for entry in manifest["tensors"] if entry["stored"]]
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise AnswerKeyError(f"{self.folder / 'manifest.json'}: not as npswin writes it ({error!r})") from error
        self._check(path, stored, loss)

    def __contains__(self, name: str) -> bool:
        return name in self.file

    def __getitem__(self, name: str) -> Array:
        """The tensor; for a thinned one, the numbers at `positions`."""
        return self.file[name]

    def positions(self, name: str) -> Array | None:
        """The positions of a thinned tensor's numbers, counted in C order; None for a whole tensor."""
        positions = self.file.get(POSITIONS_PREFIX + name)
        if positions is None:
            return None
        are_integers = positions.ndim == 1 and np.issubdtype(positions.dtype, np.integer) and positions.size
        if not are_integers or positions.min() < 0 or positions.max() >= prod(self.shapes[name]):
            raise AnswerKeyError(f"{self.file.path}: {POSITIONS_PREFIX}{name} are not positions in it")
        return positions

    @property
    def sources(self) -> dict[str, Array]:
        """Pixels or input, labels, and the parameters."""
        return {name: self.file[name] for name, node in self.graph.nodes.items() if node.operation is None}

    def _check(self, path: Path, stored: list[str], loss: float) -> None:
        listed = set(self.shapes)
        for name in self.graph.nodes:
            if name not in listed:
                raise AnswerKeyError(f"{self.folder / 'manifest.json'}: lacks the tensor {name}")
        for name in listed:
            if name.removeprefix(GRADIENT_PREFIX) not in self.graph.nodes:
                raise AnswerKeyError(f"{self.folder / 'manifest.json'}: lists {name}, which the model does not have")
        for name in stored:
            found = self.file.shapes.get(name)
            thinned = self.file.shapes.get(POSITIONS_PREFIX + name)
            if found is None:
                raise AnswerKeyError(f"{path}: lacks {name}, which is stored according to the manifest")
            if found != (self.shapes[name] if thinned is None else thinned):
                raise AnswerKeyError(f"{path}: {name} has shape {found}, in the manifest {self.shapes[name]}")
        missing = [name for name, node in self.graph.nodes.items() if node.operation is None and name not in self.file]
        if missing:
            raise AnswerKeyError(f"{path}: lacks {missing[0]}, which the other tensors are computed from")
        if "loss" in self and not np.isclose(float(self["loss"]), loss, rtol=1e-6, equal_nan=True):
            raise AnswerKeyError(
                f"{self.folder}: files of two keys: the loss is {float(self['loss']):.9g} and {loss:.9g}"
            )


def check_config(config: dict[str, Any], image_size: Any, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise a ValueError unless the file has the parameters of this model.

    The check comes before the model is made, so that a damaged file cannot lead to a model of any size.
    """
    height, width = (int(side) for side in image_size)
    images = next((shapes[name] for name in ("pixels", "input") if name in shapes), ())
    if images[2:] != (height, width) or images[1] != config["in_chans"]:
        raise ValueError(f"images of {config['in_chans']}×{height}×{width}, the file has {images}")
    blocks = sum(name.startswith("layers.") and name.endswith(".norm1.weight") for name in shapes)
    if sum(config["depths"]) != blocks:
        raise ValueError(f"depths {str(config['depths'])[:80]}, the file has {blocks} blocks")
    widest, patch = config["embed_dim"] * 2 ** (len(config["depths"]) - 1), config["patch_size"]
    expected = {
        "patch_embed.proj.weight": (config["embed_dim"], config["in_chans"], patch, patch),
        "head.weight": (config["num_classes"], widest),
    }
    inner = config["num_heads"][0] * (config["head_dim"] or config["embed_dim"] // config["num_heads"][0])
    expected["layers.0.blocks.0.attn.proj.weight"] = (config["embed_dim"], inner)
    expected["layers.0.blocks.0.mlp.fc1.weight"] = (int(config["embed_dim"] * config["mlp_ratio"]), config["embed_dim"])
    for name, shape in expected.items():
        if shapes.get(name) != shape:
            raise ValueError(f"{name} of shape {shape}, the file has {shapes.get(name)}")
    if not 0 < config["window_size"] <= LARGEST_WINDOW:
        raise ValueError(f"window_size {config['window_size']}")
    if config["ape"]:
        size = config["img_size"]
        grid = [-(-int(side) // patch) for side in (size if isinstance(size, list) else [size, size])]
        if shapes.get("absolute_pos_embed") != (1, prod(grid), config["embed_dim"]):
            raise ValueError(
                f"absolute_pos_embed for {grid} positions, the file has {shapes.get('absolute_pos_embed')}"
            )


def _manifest(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > LONGEST_MANIFEST:
            raise AnswerKeyError(f"{path}: {path.stat().st_size} bytes, expected at most {LONGEST_MANIFEST}")
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        folder = path.parent
        state = "no answer key in it" if folder.is_dir() else "no such folder"
        raise AnswerKeyError(f"{folder}: {state}; `npswin golden {folder}` writes one") from error
    except (OSError, ValueError, RecursionError) as error:
        raise AnswerKeyError(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise AnswerKeyError(f"{path}: not a manifest of an answer key (its format is not {FORMAT!r})")
    if manifest.get("version") != VERSION:
        raise AnswerKeyError(f"{path}: version {manifest.get('version')}, this npswin reads version {VERSION}")
    return manifest


def _graph(manifest: dict[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> Graph:
    config = {**manifest["config"], "dtype": "float64"}
    scale = manifest["normalization"]
    height, width = (int(side) for side in manifest["image_size"])
    if min(height, width) < 1:
        raise ValueError(f"image_size: got {height}, {width}")
    normalization = None if scale is None else (tuple(scale["mean"]), tuple(scale["std"]))
    model = SwinTransformer(**config)
    for name, param in model.params.items():
        if shapes.get(name) != param.shape:
            raise ValueError(f"{name} of shape {param.shape}, the file has {shapes.get(name)}")
    return swin_graph(model, (height, width), normalization)
