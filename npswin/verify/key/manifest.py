"""Reads an answer key's manifest and checks all that is read of it, before a model is made."""

import inspect
import os
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

from npswin.checks import check_integer, check_number, shown
from npswin.data.dataset import check_normalization
from npswin.files import FileError, listed, read_json, shown_path
from npswin.models import SwinTransformer
from npswin.models.checks import checked_arguments
from npswin.verify.key.cases import check_case_names
from npswin.verify.key.write import FORMAT, VERSION

LONGEST_MANIFEST = 8 * 2**20  # bytes; that of a model of a hundred blocks has two mebibytes
LARGEST_WINDOW = 64


class AnswerKeyError(FileError):
    """A folder is not an answer key, or is damaged; the message names the file and what is wrong in it."""


def read_manifest(path: Path) -> dict[str, Any]:
    """Read manifest.json, whose values `check_manifest` checks.

    Raises:
        AnswerKeyError: it is missing or damaged, or of something else.
    """
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
    check_case_names("cases", manifest.get("cases", []))
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


def checked_normalization(scale: Any, channels: int, dtype: Any) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Mean and deviation of each channel, or None, from a manifest's value; a ValueError if it is something else."""
    if scale is None:
        return None
    if not isinstance(scale, dict) or not all(isinstance(scale.get(name), list) for name in ("mean", "std")):
        raise ValueError(f"normalization: got {shown(scale)}, expected mean and std, each a list, or null")
    names, values = ("normalization.mean", "normalization.std"), (scale["mean"], scale["std"])
    return check_normalization(names, values, channels, dtype)
