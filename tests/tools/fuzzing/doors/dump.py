"""Dumps of ports, and single arrays."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from npswin.data import DataFileError
from npswin.verify.port.candidate import CandidateError, in_memory
from npswin.verify.port.comparer import Comparer
from npswin.verify.port.npy import read_npy
from npswin.verify.port.read_dump import read_candidate
from npswin.verify.port.two_dumps import compare_two_dumps
from tests.tools.fuzzing.doors.door import LONGEST_MESSAGE, Door, Sample, equal, normalized, require
from tests.tools.fuzzing.doors.dump_formats import DECODERS, decoded_npy, written
from tests.tools.fuzzing.doors.key import right_dump, small_keys


def dump_door(kind: str) -> Callable[[Path], Door]:
    """`read_candidate`, `Comparer` and `compare_two_dumps`, for dumps of one format."""

    def make(folder: Path) -> Door:
        small_keys(folder)
        key, right = right_dump(folder, 0)
        names = ["layers.0.blocks.1.attn.mask", "layers.0.blocks.1.attn.scores", "patch_embed.proj", "loss"]
        names = [name for name in names if name in right] or list(right)[:4]
        arrays = {name: right[name] for name in names} | {"other": np.arange(6.0)}
        in_64_bits = {name: array.astype(np.float64) for name, array in arrays.items()}
        seeds = [written(kind, arrays), written(kind, in_64_bits)]

        def read(sample: Sample) -> str:
            path = {"safetensors": "d.safetensors", "npz": "d.npz"}.get(kind)
            where = sample.folder / path if path else sample.folder
            candidate = read_candidate(where, key.shapes)
            for name, array in (candidate.tensors | candidate.misshapen).items():
                wanted = _as_float64(DECODERS[kind](sample.files, candidate.dumped_as.get(name, name)))
                if name in candidate.tensors:
                    require(array.shape == key.shapes[name], f"{name} has another shape")
                    wanted = wanted.reshape(array.shape)
                require(equal(_as_float64(array), wanted), f"{name} has other numbers")
            for name, text in candidate.unreadable.items():
                require(len(text) < LONGEST_MESSAGE, f"the message about {name} has {len(text)} characters")
            if sample.number % 50 == 0:
                comparison = Comparer(key, candidate).compare()
                require(len(str(comparison)) < 10**6, "the comparison has more than a million characters")
            if sample.number % 10 == 0:
                two = compare_two_dumps(where, {name: in_memory(array) for name, array in arrays.items()})
                require(len(str(two)) < 10**6, "the comparison of two dumps has more than a million characters")
            texts = candidate.unreadable.values()
            reasons = sorted({normalized(text.split(": ")[-1], sample.folder)[:60] for text in texts})
            return f"read {bool(candidate.tensors)} {bool(candidate.misshapen)} {bool(candidate.unknown)} {reasons[:2]}"

        return Door(f"dump-{kind}", (CandidateError,), seeds, read)

    return make


def _as_float64(array: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # of a signalling NaN
        return np.asarray(array, np.float64)


def npy_door(folder: Path) -> Door:
    """`read_npy`, as `npswin gradcheck --input` reads."""
    arrays = np.arange(6.0).reshape(2, 3), np.asfortranarray(np.ones((3, 2), "<f4")), np.array(3)
    seeds = [{"x.npy": written("npy", {"x": array})["x.npy"]} for array in arrays]

    def read(sample: Sample) -> str:
        array = read_npy(sample.folder / "x.npy", DataFileError, 2**30)
        require(equal(array, decoded_npy(sample.files["x.npy"])), "other numbers")
        return f"read {array.dtype} {array.ndim}"

    return Door("npy", (DataFileError,), seeds, read)
