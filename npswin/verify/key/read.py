"""Reads an answer key: its graph, and its tensors one at a time."""

import hashlib
from collections.abc import Collection
from math import prod
from os import PathLike
from typing import Any

import numpy as np

from npswin.checks import check_path, shown
from npswin.files import shortened, shown_path
from npswin.models import SwinTransformer
from npswin.types import Array
from npswin.verify.graph import GRADIENT_PREFIX, Graph, swin_graph
from npswin.verify.key.manifest import (
    AnswerKeyError,
    check_config,
    check_manifest,
    checked_normalization,
    read_manifest,
)
from npswin.verify.key.write import MANIFEST_CHECKSUM, POSITIONS_PREFIX
from npswin.weights import TensorFile, WeightFileError

FLOATS = ("F64", "F32", "F16", "BF16")
INTEGERS = ("I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8")


class AnswerKey:
    """The folder that `npswin golden` writes.

    Args:
        folder: with key.safetensors and manifest.json.

    Attributes:
        graph: the model's graph.
        config: the model's arguments.
        shapes: by name of every tensor that the manifest lists, gradients as "grad/" + name, in order.
        cases: the names of the subfolders that hold further keys.
        tolerances: by precision and name the tolerances that comparisons with this key have computed.

    Raises:
        ValueError: the folder is no path.
        AnswerKeyError: one of the files is missing or damaged, or they are of two keys.
    """

    def __init__(self, folder: str | PathLike[str]) -> None:
        self.folder = check_path("folder", folder, AnswerKeyError)
        self.tolerances: dict[str, dict[str, Any]] = {}
        path, manifest_path = self.folder / "key.safetensors", self.folder / "manifest.json"
        manifest = read_manifest(manifest_path)
        try:
            self.file = TensorFile(path)
        except FileNotFoundError as error:
            raise AnswerKeyError(
                f"{shown_path(path)}: no such file; `npswin golden {shown_path(self.folder)}` writes one"
            ) from error
        except (WeightFileError, OSError) as error:
            raise AnswerKeyError(str(error)) from error
        try:
            check_manifest(manifest)
            self.config: dict[str, Any] = dict(manifest["config"])
            self.cases: tuple[str, ...] = tuple(manifest.get("cases", ()))
            start = "input" if manifest["normalization"] is None else "pixels"
            check_config(self.config, manifest["image_size"], start, self.file.shapes)
            self.graph = _graph(manifest)
            self.shapes = {entry["name"]: tuple(entry["shape"]) for entry in manifest["tensors"]}
            stored = dict.fromkeys(entry["name"] for entry in manifest["tensors"] if entry["stored"])
            self._check(stored)
        except AnswerKeyError:
            raise
        except (ValueError, ArithmeticError) as error:
            raise AnswerKeyError(
                f"{shown_path(manifest_path)}: not as npswin writes it ({shortened(str(error), 1000)})"
            ) from error
        if "loss" in stored and not np.isclose(float(self["loss"]), float(manifest["loss"]), rtol=1e-6, equal_nan=True):
            raise AnswerKeyError(
                f"{shown_path(self.folder)}: files of two keys: the loss is {float(self['loss']):.9g} and "
                f"{float(manifest['loss']):.9g}"
            )

        checksum = self.file.metadata.get(MANIFEST_CHECKSUM)  # keys of version 0.1.0 have none
        if checksum is not None and checksum != hashlib.sha256(manifest_path.read_bytes()).hexdigest():
            raise AnswerKeyError(
                f"{shown_path(self.folder)}: files of two keys, or a changed one: manifest.json is not the one that "
                f"key.safetensors was written with"
            )

    def __contains__(self, name: str) -> bool:
        return name in self.file

    def __getitem__(self, name: str) -> Array:
        """The tensor; for a thinned one, the numbers at `positions`."""
        try:
            return self.file[name]
        except (WeightFileError, OSError) as error:
            raise AnswerKeyError(str(error)) from error

    def positions(self, name: str) -> Array | None:
        """The positions of a thinned tensor's numbers, counted in C order; None for a whole tensor."""
        if POSITIONS_PREFIX + name not in self:
            return None
        positions = self[POSITIONS_PREFIX + name]
        are_integers = positions.ndim == 1 and np.issubdtype(positions.dtype, np.integer) and positions.size
        if not are_integers or positions.min() < 0 or positions.max() >= prod(self.shapes[name]):
            raise AnswerKeyError(f"{shown_path(self.file.path)}: {POSITIONS_PREFIX}{name} are not positions in it")
        return positions

    @property
    def sources(self) -> dict[str, Array]:
        """Pixels or input, labels, and the parameters."""
        sources = {name: self[name] for name, node in self.graph.nodes.items() if node.operation is None}
        for name, tensor in sources.items():
            if not np.isfinite(tensor).all():
                raise AnswerKeyError(f"{shown_path(self.file.path)}: {name} has NaN or infinite numbers")
        labels, classes = sources["labels"], self.config["num_classes"]
        if labels.min() < 0 or labels.max() >= classes:
            raise AnswerKeyError(
                f"{shown_path(self.file.path)}: labels from {labels.min()} to {labels.max()}, "
                f"expected 0 to {classes - 1}"
            )
        return sources

    def _check(self, stored: Collection[str]) -> None:
        """Raise an error unless the manifest lists the graph's tensors, and the file has those that it should."""
        path = shown_path(self.file.path)
        for name in self.graph.nodes:
            if name not in self.shapes:
                raise ValueError(f"lacks the tensor {name}")
        for name in self.shapes:
            if name.removeprefix(GRADIENT_PREFIX) not in self.graph.nodes:
                raise ValueError(f"lists {shown(name)}, which the model does not have")
        sources = {name for name, node in self.graph.nodes.items() if node.operation is None}
        if missing := sources - set(stored):
            raise ValueError(f"{min(missing)} is not stored, which the other tensors are computed from")
        if self.shapes["loss"] != ():
            raise ValueError(f"the loss has shape {shown(self.shapes['loss'])}, expected a single number")
        if unlisted := [name for name in self.shapes if name in self.file and name not in stored]:
            raise AnswerKeyError(f"{path}: has {unlisted[0]}, which is not stored according to the manifest")
        for name in stored:
            found = self.file.shapes.get(name)
            is_whole = name == "loss" or name in sources
            thinned = None if is_whole else self.file.shapes.get(POSITIONS_PREFIX + name)
            if found is None:
                raise AnswerKeyError(f"{path}: lacks {name}, which is stored according to the manifest")
            if found != (self.shapes[name] if thinned is None else thinned):
                raise AnswerKeyError(
                    f"{path}: {name} has shape {shown(found)}, in the manifest {shown(self.shapes[name])}"
                )
            expected = {"labels": INTEGERS, "pixels": INTEGERS + FLOATS}.get(name, FLOATS)
            if self.file.dtype_codes[name] not in expected:
                raise AnswerKeyError(f"{path}: {name} has dtype {self.file.dtype_codes[name]}, expected a number's")


def _graph(manifest: dict[str, Any]) -> Graph:
    height, width = manifest["image_size"]
    model = SwinTransformer(**{**manifest["config"], "dtype": "float64"})
    shapes = {entry["name"]: tuple(entry["shape"]) for entry in manifest["tensors"]}
    for name, param in model.params.items():
        if name in shapes and shapes[name] != param.shape:
            raise ValueError(f"{name} of shape {param.shape}, the manifest has {shown(shapes[name])}")
    normalization = checked_normalization(manifest["normalization"], model.in_chans, model.dtype)
    return swin_graph(model, (height, width), normalization)
