"""The files that `npswin convert` reads."""

import contextlib
import io
import json
import pickle
from pathlib import Path

import numpy as np

from npswin.weights import WeightFileError, load_tensors, save_tensors
from npswin.weights.convert_file import convert_file
from tests.tools.fuzzing.doors.door import Door, Sample, require
from tests.tools.fuzzing.workspace import Files
from tests.weights import golden_files


def convert_door(folder: Path) -> Door:
    """`npswin convert` from NumPy archives and models in several files, and from PyTorch's where it is installed."""
    state = {name: tensor for name, tensor in golden_files.read("timm_older").state.items() if "blocks.0" in name}
    arrays, compressed = io.BytesIO(), io.BytesIO()
    np.savez(arrays, **state)
    np.savez_compressed(compressed, **state)
    save_tensors(folder / "shard.safetensors", state)
    index = json.dumps({"metadata": {}, "weight_map": dict.fromkeys(state, "shard.safetensors")}).encode()
    shards: Files = {"i.json": index, "shard.safetensors": (folder / "shard.safetensors").read_bytes()}
    seeds: list[Files] = [{"a.npz": arrays.getvalue()}, {"a.npz": compressed.getvalue()}, shards]
    seeds += [{"a.pkl": pickle.dumps({"model": state}, protocol)} for protocol in (2, 4, 5)]
    with contextlib.suppress(ImportError):
        import torch

        tensors = {name: torch.tensor(tensor) for name, tensor in state.items()}
        for is_zip in (True, False):
            torch.save({"model": tensors}, content := io.BytesIO(), _use_new_zipfile_serialization=is_zip)
            seeds.append({"a.pth": content.getvalue()})
    out = folder / "converted.safetensors"

    def read(sample: Sample) -> str:
        out.unlink(missing_ok=True)
        try:
            done = convert_file(sample.folder / next(iter(sample.seed)), out)
        except Exception:  # of any class: it is raised again, and its class is judged by whoever reads the sample
            require(not out.exists(), "an error, and a file is written")
            raise
        require(len(load_tensors(out)[0]) == done.count > 0, "other tensors are written")
        return f"converted {done.layout}"

    return Door("convert", (WeightFileError,), seeds, read)
