"""Converts files of weights to safetensors: what `npswin convert` does."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from npswin.checks import check_path
from npswin.files import listed, open_regular, read_exactly, read_json, shortened, shown_path
from npswin.types import Array
from npswin.weights.choose import other_model
from npswin.weights.file_kinds import NPZ, SHARDS, START_BYTES, kind_of
from npswin.weights.files import WeightFileError, save_tensors
from npswin.weights.layout_search import find_candidates
from npswin.weights.pytorch_file import is_tensor, read_pytorch_file, to_numpy
from npswin.weights.reading import Progress, no_progress
from npswin.weights.stand_ins import Ignored
from npswin.weights.state_dicts import choose_state_dict, find_state_dicts
from npswin.weights.tensor_file import TensorFile

LONGEST_INDEX = 2**24  # bytes
MOST_SHARDS = 1000


@dataclass(frozen=True)
class Conversion:
    """What was converted.

    Attributes:
        key: where in the file the tensors were, "" for the file itself.
        count: of tensors.
        numbers: in them.
        layout: of their names, or None where it is unknown.
        others: where else in the file tensors are.
        ignored: classes of objects in the file that were left out.
        other_model: a clause that says what the weights are, if they are not Swin V1's.
    """

    key: str
    count: int
    numbers: int
    layout: str | None
    others: tuple[str, ...]
    ignored: tuple[str, ...]
    other_model: str | None


def convert_file(
    source: str | PathLike[str], out: str | PathLike[str], key: str | None = None, progress: Progress = no_progress
) -> Conversion:
    """Write the tensors of a file of weights to a safetensors file, under the names that they have.

    Args:
        source: a file of PyTorch (.pth, .pt, .bin, .ckpt), which PyTorch reads; a pickle with tensors or arrays
            (detectron2's .pkl); a NumPy archive (.npz); the index of a model in several safetensors or PyTorch files;
            or a safetensors file.
        out: the file to write, replaced if it exists.
        key: where in the file the tensors are, such as "model_ema"; found if None.
        progress: called with the name of the work, how much is done, and of how much.

    Raises:
        WeightFileError: the source cannot be read, or has no tensors there.
        OSError: the result cannot be written.
    """
    source, out = check_path("source", source, WeightFileError), check_path("out", out)
    held, ignored = _read(source, progress)
    found = find_state_dicts(held, is_tensor, lambda one: one.state if isinstance(one, Ignored) else None)
    place = choose_state_dict(found, key, shown_path(source))
    tensors = found[place]
    arrays = {}
    for done, name in enumerate(sorted(tensors)):
        arrays[name] = _array(source, name, tensors[name])
        progress("converting", done + 1, len(tensors))
    try:
        save_tensors(out, arrays, {"converted_from": shortened(source.name)}, progress=progress)
    except ValueError as error:
        raise WeightFileError(f"{shown_path(source)}: {error}") from error
    candidates = find_candidates(arrays)
    return Conversion(
        key=place,
        count=len(arrays),
        numbers=sum(array.size for array in arrays.values()),
        layout=candidates[0].layout if candidates and candidates[0].has_blocks else None,
        others=tuple(other for other in found if other != place),
        ignored=tuple(ignored),
        other_model=other_model(candidates, {name: array.shape for name, array in arrays.items()}),
    )


def _read(path: Path, progress: Progress, is_shard: bool = False) -> tuple[Any, list[str]]:
    """What a file holds, which may be one of several of a model, and the classes in it that were left out."""
    if os.path.isdir(path):
        TensorFile(path)  # raises the error that describes it
    with open_regular(path, WeightFileError) as file:
        size = os.fstat(file.fileno()).st_size
        start = read_exactly(file, min(size, START_BYTES), path, WeightFileError)
    kind = None if start[8:9] == b"{" else kind_of(path, start)
    if kind is None:
        tensors = TensorFile(path)  # raises the error that describes another kind of file
        return {name: tensors[name] for name in tensors}, []
    if kind == NPZ:
        return _read_npz(path, progress), []
    if kind == SHARDS and is_shard:
        raise WeightFileError(f"{shown_path(path)}: is an index, named by an index; expected a file of tensors")
    if kind == SHARDS:
        return _read_shards(path, progress)
    return read_pytorch_file(path, kind, progress)


def _array(source: Path, name: str, tensor: Any) -> Array:
    try:
        return np.ascontiguousarray(to_numpy(tensor)).reshape(tuple(tensor.shape))
    except MemoryError as error:
        raise WeightFileError(f"{shown_path(source)}: {shortened(name)}: too little memory") from error
    except Exception as error:  # PyTorch's, for tensors without numbers, or of other devices
        reason = shortened(str(error).split("\n")[0])
        raise WeightFileError(f"{shown_path(source)}: {shortened(name)}: has no numbers to take ({reason})") from error


def _read_npz(path: Path, progress: Progress) -> dict[str, Array]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = {}
            for done, name in enumerate(archive.files):
                found[name] = archive[name]
                progress("reading", done + 1, len(archive.files))
            return found
    except MemoryError as error:
        raise WeightFileError(f"{shown_path(path)}: too little memory to read it") from error
    except Exception as error:  # NumPy and zipfile raise what struct, zlib and codecs raise
        reason = shortened(str(error).split("\n")[0])
        if "allow_pickle" in str(error):
            reason = "an array in it holds objects, which are pickled and can run code; save arrays of numbers"
        raise WeightFileError(f"{shown_path(path)}: a NumPy archive that cannot be read: {reason}") from error


def _read_shards(path: Path, progress: Progress) -> tuple[dict[str, Any], list[str]]:
    """The tensors of all files of an index, which are in its folder."""
    index = read_json(path, WeightFileError, LONGEST_INDEX)
    shards = index.get("weight_map") if isinstance(index, Mapping) else None
    if not isinstance(shards, Mapping) or not all(isinstance(name, str) for name in shards.values()):
        raise WeightFileError(f"{shown_path(path)}: its weight_map is not one of file names by tensor")
    names = sorted(set(shards.values()))
    if absent := [name for name in names if Path(name).name != name or not os.path.isfile(path.parent / name)]:
        missing = f"{len(absent)} of its {len(names)} files are not beside it: {listed(absent, at_most=3)}"
        raise WeightFileError(f"{shown_path(path)}: {missing}")
    if len(names) > MOST_SHARDS:
        raise WeightFileError(f"{shown_path(path)}: names {len(names)} files, expected at most {MOST_SHARDS}")
    tensors: dict[str, Any] = {}
    ignored: list[str] = []
    for name in names:
        held, left_out = _read(path.parent / name, progress, is_shard=True)
        if not isinstance(held, Mapping):
            raise WeightFileError(f"{shown_path(path.parent / name)}: has no tensors by name")
        tensors |= held
        ignored += left_out
    return tensors, ignored
