"""Reads an answer key: its graph, and its tensors one at a time."""

import inspect
import os
from collections.abc import Collection, Iterator, Mapping
from math import prod
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from npswin.checks import check_integer, check_number, shown
from npswin.files import FileError, listed, read_json, shortened, shown_path
from npswin.models import SwinTransformer
from npswin.models.checks import checked_arguments
from npswin.types import Array
from npswin.verify.graph import GRADIENT_PREFIX, Graph, swin_graph
from npswin.verify.key.write import FORMAT, POSITIONS_PREFIX, VERSION
from npswin.weights import TensorFile, WeightFileError

LONGEST_MANIFEST = 8 * 2**20  # bytes; that of a model of a hundred blocks has two mebibytes
LARGEST_WINDOW = 64
FLOATS = ("F64", "F32", "F16", "BF16")
INTEGERS = ("I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8")


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
        AnswerKeyError: one of the files is missing or damaged, or they are of two keys.
    """

    def __init__(self, folder: str | PathLike[str]) -> None:
        self.folder = Path(folder)
        self.tolerances: dict[str, dict[str, Any]] = {}
        path, manifest_path = self.folder / "key.safetensors", self.folder / "manifest.json"
        manifest = _manifest(manifest_path)
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


def check_manifest(manifest: dict[str, Any]) -> None:
    """Raise a ValueError unless all that is read of a manifest has the right type."""
    for name in ("config", "normalization", "image_size", "loss", "tensors"):
        if name not in manifest:
            raise ValueError(f"lacks {name}")
    if manifest["loss"] not in ("nan", "inf", "-inf"):
        check_number("loss", manifest["loss"])
    if not isinstance(manifest["image_size"], list) or len(manifest["image_size"]) != 2:
        raise ValueError(f"image_size: got {shown(manifest['image_size'])}, expected height and width")
    for side in manifest["image_size"]:
        check_integer("image_size", side, at_least=1)
    if not isinstance(manifest["config"], dict):
        raise ValueError(f"config: got {shown(manifest['config'])}, expected the model's arguments by name")
    if not isinstance(manifest["tensors"], list):
        raise ValueError(f"tensors: got {shown(manifest['tensors'])}, expected a list")
    names = set()
    for number, entry in enumerate(manifest["tensors"]):
        check_entry(f"tensors[{number}]", entry)
        if entry["name"] in names:
            raise ValueError(f"tensors[{number}]: {shown(entry['name'])} is there twice")
        names.add(entry["name"])


def check_entry(where: str, entry: Any) -> None:
    """Raise a ValueError unless an entry of the manifest's tensors has the right fields.

    Args:
        where: the entry is, for messages.
        entry: the entry.
    """
    if not isinstance(entry, dict):
        raise ValueError(f"{where}: got {shown(entry)}, expected name, shape and more")
    for field, (kind, of) in _FIELDS.items():
        if field not in entry and field not in ("name", "shape", "stored"):
            continue
        value = entry.get(field)
        items = value if kind is list and isinstance(value, list) else []
        if type(value) is not kind or not all(type(item) is of for item in items):
            expected = f"{kind.__name__} of {of.__name__}" if of else kind.__name__
            raise ValueError(f"{where}.{field}: got {shown(value)}, expected {expected}")
    for side in entry["shape"]:
        check_integer(f"{where}.shape", side, at_least=0, at_most=2**40)


# Of an entry: the type, and that of a list's items.
_FIELDS: dict[str, tuple[type, type | None]] = {
    "name": (str, None),
    "shape": (list, int),
    "stored": (bool, None),
    "axes": (str, None),
    "kind": (str, None),
    "operation": (str, None),
    "inputs": (list, str),
    "settings": (dict, None),
    "formula": (str, None),
    "paper": (str, None),
    "positions": (str, None),
    "statistics": (dict, None),
}


def check_config(
    config: Mapping[str, Any], image_size: tuple[int, int], start: str, shapes: Mapping[str, tuple[int, ...]]
) -> None:
    """Raise a ValueError unless the file has the parameters of this model.

    The check comes before the model is made, so that a damaged file cannot lead to a model of any size.

    Args:
        config: arguments of the model.
        image_size: (H, W) of the images.
        start: the name of the images, "pixels" or "input".
        shapes: of the file's tensors.
    """
    known = {name: one.default for name, one in inspect.signature(SwinTransformer).parameters.items()}
    if unknown := [name for name in config if name not in known]:
        raise ValueError(f"config: the model has no argument {listed(map(repr, unknown))}")
    config = checked_arguments({**known, **config})
    images = shapes.get(start, ())
    if len(images) != 4 or images[0] < 1 or images[1:] != (config["in_chans"], *image_size):
        raise ValueError(
            f"images of {config['in_chans']}×{image_size[0]}×{image_size[1]}, the file has {start} of shape "
            f"{shown(images)}"
        )
    if shapes.get("labels") != images[:1]:
        raise ValueError(f"labels of {images[0]} images, the file has labels of shape {shown(shapes.get('labels'))}")
    if not config["num_classes"]:
        raise ValueError("num_classes: got 0, expected a head, from which the loss is computed")
    blocks = sum(name.startswith("layers.") and name.endswith(".norm1.weight") for name in shapes)
    if sum(config["depths"]) != blocks:
        raise ValueError(f"depths {shown(config['depths'])}, the file has {blocks} blocks")
    if config["window_size"] > LARGEST_WINDOW:
        raise ValueError(f"window_size {shown(config['window_size'])}, expected at most {LARGEST_WINDOW}")
    for name, shape in _large_parameters(config):
        if shapes.get(name) != shape:
            raise ValueError(f"{name} of shape {shown(shape)}, the file has {shown(shapes.get(name))}")


def _large_parameters(config: Mapping[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of those parameters that give the sizes of all others."""
    dim, patch, size = config["embed_dim"], config["patch_size"], config["img_size"]
    grid = [-(-side // patch) for side in (size if isinstance(size, list) else [size, size])] if size else None
    yield "patch_embed.proj.weight", (dim, config["in_chans"], patch, patch)
    yield "head.weight", (config["num_classes"], dim * 2 ** (len(config["depths"]) - 1))
    if config["ape"]:
        assert grid is not None
        yield "absolute_pos_embed", (1, prod(grid), dim)
    for stage, (depth, heads) in enumerate(zip(config["depths"], config["num_heads"], strict=True)):
        width = dim * 2**stage
        inner = heads * (config["head_dim"] or width // heads)
        side = min([config["window_size"], *(grid or [])])
        table = {
            "per_head": ("relative_position_bias_table", ((2 * side - 1) ** 2, heads)),
            "shared": ("relative_position_bias_table", ((2 * side - 1) ** 2, 1)),
            "full": ("position_bias_table", (side**2, side**2)),
        }.get(config["position_bias"])
        for block in range(depth):
            prefix = f"layers.{stage}.blocks.{block}"
            yield f"{prefix}.attn.proj.weight", (width, inner)
            yield f"{prefix}.mlp.fc1.weight", (int(width * config["mlp_ratio"]), width)
            if table is not None:
                yield f"{prefix}.attn.{table[0]}", table[1]
        grid = grid and [-(-side // 2) for side in grid]


def _manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = read_json(path, AnswerKeyError, LONGEST_MANIFEST)
    except (FileNotFoundError, NotADirectoryError) as error:
        folder = shown_path(path.parent)
        state = "no answer key in it" if os.path.isdir(path.parent) else "no such folder"
        raise AnswerKeyError(f"{folder}: {state}; `npswin golden {folder}` writes one") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise AnswerKeyError(f"{shown_path(path)}: not a manifest of an answer key (its format is not {FORMAT!r})")
    version = manifest.get("version")
    if type(version) is not int or version != VERSION:
        raise AnswerKeyError(f"{shown_path(path)}: version {shown(version)}, this npswin reads version {VERSION}")
    return manifest


def _graph(manifest: dict[str, Any]) -> Graph:
    height, width = manifest["image_size"]
    model = SwinTransformer(**{**manifest["config"], "dtype": "float64"})
    shapes = {entry["name"]: tuple(entry["shape"]) for entry in manifest["tensors"]}
    for name, param in model.params.items():
        if name in shapes and shapes[name] != param.shape:
            raise ValueError(f"{name} of shape {param.shape}, the manifest has {shown(shapes[name])}")
    return swin_graph(model, (height, width), _normalization(manifest["normalization"], model.in_chans))


def _normalization(scale: Any, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    if scale is None:
        return None
    if not isinstance(scale, dict) or not all(isinstance(scale.get(name), list) for name in ("mean", "std")):
        raise ValueError(f"normalization: got {shown(scale)}, expected mean and std, each a list, or null")
    mean = tuple(check_number("normalization.mean", one) for one in scale["mean"])
    std = tuple(check_number("normalization.std", one, above=0) for one in scale["std"])
    if not len(mean) == len(std) == channels:
        raise ValueError(f"normalization: got {len(mean)} means and {len(std)} deviations of {channels} channels")
    return mean, std
