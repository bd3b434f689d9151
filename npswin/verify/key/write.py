"""Writes an answer key: a folder with key.safetensors and manifest.json. docs/answer_key.md describes both."""

import hashlib
import json
from collections.abc import Sequence
from fnmatch import fnmatch
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from npswin.checks import check_instance, check_integer, check_path, shown
from npswin.files import write_atomically
from npswin.types import Array
from npswin.verify.graph import GRADIENT_PREFIX, Graph
from npswin.verify.key.cases import check_case_names
from npswin.verify.key.trace import Trace, named
from npswin.weights import save_tensors

FORMAT, VERSION = "npswin answer key", 1
MANIFEST_CHECKSUM = "manifest_sha256"  # in the metadata of key.safetensors
POSITIONS_PREFIX = "positions/"  # prefix of a thinned tensor's name, for the positions of its stored numbers
DIGITS = 9  # of the statistics; every machine that sums in float64 reproduces these


def write_key(
    trace: Trace,
    folder: str | PathLike[str],
    only: Sequence[str] = (),
    sample: int | None = None,
    seed: int = 0,
    cases: Sequence[str] = (),
) -> Path:
    """Write a trace as an answer key.

    Args:
        trace: from `npswin.trace`.
        folder: created if it does not exist; a key in it is replaced.
        only: patterns such as "layers.0.*" or "grad/head*": the values of other activations and gradients are left
            out, though the manifest lists them. Sources, parameters and "input" are always stored, so that the other
            tensors can be computed again.
        sample: the most numbers that are stored of each activation and gradient, with their positions; sources,
            parameters and "input" stay whole.
        seed: of the random positions.
        cases: names of the subfolders that hold further keys, each complete in itself.

    Returns:
        The folder.

    Raises:
        ValueError: a pattern matches no tensor; a sample of less than one number; another argument does not fit.
        OSError: the folder cannot be created or written to.
    """
    check_instance("trace", trace, Trace, "what npswin.trace returns")
    folder, seed = check_path("folder", folder), check_integer("seed", seed, 0)
    if not isinstance(only, list | tuple) or not all(isinstance(pattern, str) for pattern in only):
        raise ValueError(f"only: got {shown(only)}, expected a list of patterns such as layers.0.*")
    if sample is not None:
        sample = check_integer("sample", sample, 1)
    tensors = named(trace)
    check_case_names("cases", cases)
    sources = [name for name, node in trace.graph.nodes.items() if node.operation is None]
    for pattern in only:
        if not any(fnmatch(name, pattern) for name in tensors):
            hint = (
                "gradients need --backward"
                if pattern.startswith(GRADIENT_PREFIX) and not trace.grads
                else "such as layers.0.*"
            )
            raise ValueError(f"only: {shown(pattern)} matches no tensor; {hint}")
    rng = np.random.default_rng(seed)
    stored: dict[str, Array] = {}
    for name, tensor in tensors.items():
        if name in sources:
            stored[name] = _compact(tensor)
        elif name == "input" or not only or any(fnmatch(name, pattern) for pattern in only):
            stored[name] = tensor
            if name != "input" and sample is not None and tensor.size > sample:
                positions = np.sort(rng.choice(tensor.size, sample, replace=False))
                stored[POSITIONS_PREFIX + name], stored[name] = positions, tensor.reshape(-1)[positions]
    folder.mkdir(parents=True, exist_ok=True)
    text = _json(_manifest(trace, tensors, stored) | ({"cases": list(cases)} if cases else {})).encode()
    metadata = {"format": f"{FORMAT} {VERSION}", MANIFEST_CHECKSUM: hashlib.sha256(text).hexdigest()}

    def write_both(manifest: BinaryIO) -> None:
        manifest.write(text)
        save_tensors(folder / "key.safetensors", stored, metadata)

    write_atomically(folder / "manifest.json", write_both)  # after key.safetensors
    return folder


def _json(manifest: dict[str, Any]) -> str:
    """The manifest as JSON, with one tensor on each line."""
    head = {name: value for name, value in manifest.items() if name != "tensors"}
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in head.items()]
    entries = ",\n".join(
        json.dumps(entry, ensure_ascii=False, allow_nan=False, separators=(",", ":")) for entry in manifest["tensors"]
    )
    return "{\n" + ",\n".join(lines) + ',\n"tensors": [\n' + entries + "\n]}\n"


def _compact(tensor: Array) -> Array:
    """A source in float32 where that represents it exactly, as it does most weights; else unchanged."""
    if tensor.dtype == np.float64 and np.array_equal(tensor, tensor.astype(np.float32)):
        return tensor.astype(np.float32)
    return tensor


def _manifest(trace: Trace, tensors: dict[str, Array], stored: dict[str, Array]) -> dict[str, Any]:
    graph = trace.graph
    start = "input" if trace.normalization is None else "pixels"
    forward = [_entry(graph, name, tensors, stored) for name in graph.nodes]
    backward = [_entry(graph, GRADIENT_PREFIX + name, tensors, stored) for name in trace.grads]
    mean_std = None
    if trace.normalization is not None:
        mean_std = {"mean": list(trace.normalization[0]), "std": list(trace.normalization[1])}
    return {
        "format": FORMAT,
        "version": VERSION,
        "config": trace.config,
        "dtype": trace.tensors["loss"].dtype.name,
        "batch": len(trace.tensors["labels"]),
        "image_size": list(trace.tensors[start].shape[2:]),
        "normalization": mean_std,
        "loss": _digits(trace.loss),
        "tensors": forward + backward,
    }


def _entry(graph: Graph, name: str, tensors: dict[str, Array], stored: dict[str, Array]) -> dict[str, Any]:
    node = graph.nodes[name.removeprefix(GRADIENT_PREFIX)]
    entry: dict[str, Any] = {"name": name, "shape": list(tensors[name].shape), "axes": node.axes}
    if name.startswith(GRADIENT_PREFIX):
        uses = graph.differentiable_consumers(node.name)
        entry |= {"kind": "gradient", "operation": "backward", "inputs": [GRADIENT_PREFIX + use for use in uses]}
        entry["formula"] = f"d loss / d {node.name}: what the backward passes of {', '.join(uses) or 'it'} give, summed"
    elif node.operation is None:
        entry["kind"] = "parameter" if node.axes == "parameter" else "source"
        if node.axes == "parameter":
            entry["axes"] = ""
    else:
        entry |= {"kind": "activation", "operation": node.operation.name, "inputs": list(node.inputs)}
        settings = {key: _digits(value) if isinstance(value, float) else value for key, value in node.settings.items()}
        entry |= {"settings": settings, "formula": node.formula, "paper": node.source}
    entry["stored"] = name in stored
    if POSITIONS_PREFIX + name in stored:
        entry["positions"] = POSITIONS_PREFIX + name
    entry["statistics"] = _statistics(tensors[name])
    return entry


def _statistics(tensor: Array) -> dict[str, Any]:
    flat = tensor.astype(np.float64).reshape(-1)
    return {
        "min": _digits(flat.min()),
        "max": _digits(flat.max()),
        "mean": _digits(flat.mean()),
        "rms": _digits(np.sqrt((flat * flat).mean())),
        "first": [_digits(number) for number in flat[:4]],
    }


def _digits(number: float) -> float | str:
    """A number rounded to DIGITS digits; as text if it is not finite, since JSON has no such number."""
    return float(f"{number:.{DIGITS}g}") if np.isfinite(number) else str(float(number))
