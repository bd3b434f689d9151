"""Weight files: of npswin, of other projects, and the normalization of a run's checkpoint."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from npswin import training
from npswin.models import SwinTransformer
from npswin.weights import WeightFileError, WeightMismatchError, load_weights, save_tensors
from tests.tools.fuzzing.doors.door import Door, Sample, equal, require, small_model
from tests.tools.fuzzing.safetensors import decoded, has_checksum, join_safetensors, without_checksum
from tests.tools.fuzzing.workspace import Files
from tests.weights import golden_files


def _of_another_program(content: bytes, dtype: str = "F32") -> bytes:
    tensors = {}
    for name, array in decoded(content).items():
        code, numbers = "F32", array.astype("<f4").tobytes()
        if dtype == "F16":
            code, numbers = "F16", array.astype("<f2").tobytes()
        if dtype == "BF16":
            code, numbers = "BF16", (array.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
        tensors[name] = code, list(array.shape), numbers
    return join_safetensors(tensors, {"made_by": "another program"})


def weights_door(folder: Path) -> Door:
    """`load_weights` into a small model."""
    model = small_model()
    path = folder / "weights.safetensors"
    model.save(path)
    content = path.read_bytes()
    small_model(window_size=4, img_size=16).save(path)  # whose position bias is resampled
    contents = content, *(_of_another_program(content, dtype) for dtype in ("F32", "F16", "BF16"))
    seeds: list[Files] = [{"w.safetensors": one} for one in (*contents, _of_another_program(path.read_bytes()))]
    return Door(
        "weights", (WeightFileError, WeightMismatchError), seeds, _read_weights({"w.safetensors": model}, seeds)
    )


def layouts_door(folder: Path) -> Door:
    """`load_weights` from weights of other projects."""
    models, seeds = {}, list[Files]()
    for name in golden_files.LAYOUTS:
        found = golden_files.read(name)
        models[f"{name}.safetensors"] = found.model(dtype="float32")
        save_tensors(folder / "weights.safetensors", found.state)
        content = (folder / "weights.safetensors").read_bytes()
        seeds += [{f"{name}.safetensors": content}, {f"{name}.safetensors": without_checksum(content)}]
    return Door("layouts", (WeightFileError, WeightMismatchError), seeds, _read_weights(models, seeds))


def _read_weights(models: Mapping[str, SwinTransformer], seeds: list[Files]) -> Callable[[Sample], str]:
    """A reader that loads each file into the model of its name."""
    contents = {content for seed in seeds for content in seed.values()}

    def read(sample: Sample) -> str:
        file = next(iter(sample.seed))
        model = models[file]
        for param in model.params.values():
            param[...] = 7
        strict = sample.number % 4 > 0
        try:
            report = load_weights(model, sample.folder / file, strict=strict)
        except Exception:  # whatever it is, which is judged elsewhere: the model has to be as it was
            require(all((param == 7).all() for param in model.params.values()), "an error, and the model has changed")
            raise
        content = sample.files[file]
        assert isinstance(content, bytes)
        require(not has_checksum(content) or content in contents, "a wrong checksum accepted")
        for name, param in model.params.items():
            require(bool(np.isfinite(param).all()), f"{name} is not finite")
        stored = decoded(content)
        for name in report.loaded:
            if report.layout == "official" and name not in report.resized and name in stored:
                require(equal(model.params[name], stored[name].astype(np.float32)), f"{name} has other numbers")
        return f"loaded {report.layout} {strict} {bool(report.resized)} {bool(report.missing)} {bool(report.misshapen)}"

    return read


def normalization_door(folder: Path) -> Door:
    """`read_normalization` from a checkpoint's metadata."""
    path = folder / "normalization.safetensors"
    save_tensors(path, {"a": np.ones(2, np.float32)}, {"mean": "[0.25, 0.5]", "std": "[0.2, 1e-3]", "step": "7"})
    content = path.read_bytes()
    seeds: list[Files] = [{"n.safetensors": one} for one in (content, without_checksum(content))]

    def read(sample: Sample) -> str:
        mean, std = training.read_normalization(sample.folder / "n.safetensors")
        require(len(mean) == len(std) > 0, f"{len(mean)} means and {len(std)} deviations")
        require(bool(np.isfinite((*mean, *std)).all()) and min(std) > 0, "numbers that cannot normalize")
        found = sample.files["n.safetensors"]
        require(not has_checksum(found) or found == content, "a wrong checksum accepted")
        return f"read {len(mean)}"

    return Door("normalization", (WeightFileError,), seeds, read)
