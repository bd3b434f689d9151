"""The functions that read files which a user names, each with valid files to begin with and a check of its result."""

import contextlib
import io
import json
import pickle
import re
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from npswin import data, training
from npswin.cli import golden as golden_command
from npswin.data import DataFileError, cifar10, cifar10_download
from npswin.files import FileError
from npswin.models import SwinTransformer
from npswin.training.checkpoint import Progress
from npswin.training.learner import Learner
from npswin.training.run_folder import RunFolder
from npswin.verify.key import AnswerKey, AnswerKeyError, golden, trace, write_key
from npswin.verify.key.write import MANIFEST_CHECKSUM
from npswin.verify.port.candidate import Candidate, CandidateError, in_memory
from npswin.verify.port.comparer import Comparer
from npswin.verify.port.npy import read_npy
from npswin.verify.port.read_dump import read_candidate
from npswin.verify.port.two_dumps import compare_two_dumps
from npswin.weights import WeightFileError, WeightMismatchError, load_tensors, load_weights, save_tensors
from npswin.weights.convert_file import convert_file
from tests.tools.fuzzing.mutations import tar_gz
from tests.tools.fuzzing.safetensors import decoded, join_safetensors, split_safetensors
from tests.tools.fuzzing.workspace import Files
from tests.weights import golden_files

LONGEST_MESSAGE = 2000
SMALL_MODEL: dict[str, Any] = {
    "img_size": 8, "patch_size": 2, "in_chans": 1, "num_classes": 3, "embed_dim": 4, "depths": (2,), "num_heads": (2,),
    "window_size": 2, "mlp_ratio": 1.0, "drop_path_rate": 0.0,
}  # fmt: skip


class Wrong(Exception):
    """A file was accepted, and what came of it is wrong."""


@dataclass
class Sample:
    """One set of files to read.

    Attributes:
        folder: where they are.
        files: what they hold.
        seed: the valid files from which they were mutated.
        only_bytes: whether bytes were mutated, regardless of the format; False where its structure was.
        number: of the sample, for checks that are too long for each.
    """

    folder: Path
    files: Files
    seed: Files
    only_bytes: bool
    number: int


@dataclass
class Door:
    """A function that reads files.

    Attributes:
        name: of the door.
        errors: that are documented.
        seeds: valid files.
        read: reads a sample and checks the result; returns a text that says what kind of result it was.
        mutated: names of the files that are mutated; all if empty.
        changes_files: whether the function itself writes.
    """

    name: str
    errors: tuple[type[Exception], ...]
    seeds: list[Files]
    read: Callable[[Sample], str]
    mutated: tuple[str, ...] = ()
    changes_files: bool = False


def require(condition: bool, text: str) -> None:
    """Raise `Wrong` with the text unless the condition holds."""
    if not condition:
        raise Wrong(text)


_DETAILS = re.compile(r"'[^']*'|\"[^\"]*\"|\([^()]*\)|\[[^\[\]]*\]|[^\x20-\x7e]+|-?\d[\w.+-]*")


def normalized(message: str, folder: Path) -> str:
    """A message without paths, numbers and quotations."""
    return _DETAILS.sub("#", message[:LONGEST_MESSAGE].replace(str(folder), ""))[:120]


def doors(folder: Path) -> dict[str, Callable[[], Door]]:
    """Makers of all doors by name.

    Args:
        folder: for files that are made once.
    """
    makers: dict[str, Callable[[Path], Door]] = {
        "weights": weights_door,
        "layouts": layouts_door,
        "normalization": normalization_door,
        "convert": convert_door,
        "checkpoint": checkpoint_door,
        "run": run_door,
        "key": key_door,
        "manifest": manifest_door,
        **{f"dump-{kind}": dump_door(kind) for kind in ("safetensors", "npz", "npy", "raw")},
        "npy": npy_door,
        "cifar10": cifar10_door,
        "archive": archive_door,
        "config": config_door,
        "image": image_door,
    }
    return {name: lambda make=make: make(folder) for name, make in makers.items()}


def _model(seed: int = 0, **changes: Any) -> SwinTransformer:
    model = SwinTransformer(**{**SMALL_MODEL, **changes})
    golden.randomize_weights(model, seed)
    return model


def _same(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(_equal(one[name], other[name]) for name in one)


def _equal(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape == other.shape and bool(np.array_equal(one, other, equal_nan=True))


def _has_checksum(content: bytes | str | None) -> bool:
    try:
        return isinstance(content, bytes) and "npswin_sha256" in split_safetensors(content)[0]["__metadata__"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return False


# Weights.


def _without_checksum(content: bytes, dtype: str = "F32") -> bytes:
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
    model = _model()
    path = folder / "weights.safetensors"
    model.save(path)
    content = path.read_bytes()
    _model(window_size=4, img_size=16).save(path)  # whose position bias is resampled
    contents = content, *(_without_checksum(content, dtype) for dtype in ("F32", "F16", "BF16"))
    seeds: list[Files] = [{"w.safetensors": one} for one in (*contents, _without_checksum(path.read_bytes()))]
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
        seeds += [{f"{name}.safetensors": content}, {f"{name}.safetensors": _stripped(content)}]
    return Door("layouts", (WeightFileError, WeightMismatchError), seeds, _read_weights(models, seeds))


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
        require(not _has_checksum(content) or content in contents, "a wrong checksum accepted")
        for name, param in model.params.items():
            require(bool(np.isfinite(param).all()), f"{name} is not finite")
        stored = decoded(content)
        for name in report.loaded:
            if report.layout == "official" and name not in report.resized and name in stored:
                require(_equal(model.params[name], stored[name].astype(np.float32)), f"{name} has other numbers")
        return f"loaded {report.layout} {strict} {bool(report.resized)} {bool(report.missing)} {bool(report.misshapen)}"

    return read


def normalization_door(folder: Path) -> Door:
    """`read_normalization` from a checkpoint's metadata."""
    path = folder / "normalization.safetensors"
    save_tensors(path, {"a": np.ones(2, np.float32)}, {"mean": "[0.25, 0.5]", "std": "[0.2, 1e-3]", "step": "7"})
    content = path.read_bytes()
    seeds: list[Files] = [{"n.safetensors": one} for one in (content, _stripped(content))]

    def read(sample: Sample) -> str:
        mean, std = training.read_normalization(sample.folder / "n.safetensors")
        require(len(mean) == len(std) > 0, f"{len(mean)} means and {len(std)} deviations")
        require(bool(np.isfinite((*mean, *std)).all()) and min(std) > 0, "numbers that cannot normalize")
        found = sample.files["n.safetensors"]
        require(not _has_checksum(found) or found == content, "a wrong checksum accepted")
        return f"read {len(mean)}"

    return Door("normalization", (WeightFileError,), seeds, read)


# A run's folder.


@dataclass
class _Run:
    """A run of three steps, two to an epoch.

    Attributes:
        learner: of the run.
        description: its settings.
        files: of its folder.
        states: at its last checkpoint and at the one before it, all tensors and how far it had come.
    """

    learner: Learner
    description: dict[str, Any]
    files: Files
    states: list[tuple[dict[str, np.ndarray], Progress]]


@cache
def _run(folder: Path) -> _Run:
    model = _model(depths=(1,), qkv_bias=False, patch_norm=False, position_bias="none")
    learner = Learner(model, training.TrainConfig(epochs=2, batch_size=2, ema_decay=0.9), 2)
    description = {
        "training": learner.config.as_dict(),
        "model": learner.model.config,
        "train_data": {"name": "noise", "images": 4},
        "class_names": ["a", "b", "c"],
        "mean": [0.5],
        "backend": "numpy",
    }
    run_folder = RunFolder(folder / "run", description, 2)
    run_folder.create()
    rng = np.random.default_rng(0)
    states = []
    for step in range(3):
        images = rng.standard_normal((2, 1, 8, 8)).astype(np.float32)
        record = {"epoch": 1 + step // 2, **learner.train_step(images, np.array([0, 2]), seed=step)}
        run_folder.metrics.append(record | ({"test_loss": 1.0, "test_accuracy": 0.5} if step == 1 else {}))
        if step == 1:
            best = run_folder.save_best(learner.model.params, step + 1, {})
        if step > 0:
            progress = Progress(step + 1, 0.5, None, run_folder.metrics.crc32, best)
            run_folder.save_last(learner, progress, {})
            states.insert(0, (_tensors(learner), progress))
    run_folder.close()
    files: Files = {path.name: path.read_bytes() for path in (folder / "run").iterdir() if path.name != ".lock"}
    return _Run(learner, description, files, states)


def _tensors(learner: Learner) -> dict[str, np.ndarray]:
    return {name: array.copy() for name, array in {**learner.model.params, **learner.training_state()}.items()}


def _read_run(folder: Path) -> Callable[[Sample], str]:
    run = _run(folder)
    learner, last = run.learner, run.states[0][1]

    def read(sample: Sample) -> str:
        for array in (*learner.model.params.values(), *learner.training_state().values()):
            array[...] = 1
        learner.step = 0
        run_folder = RunFolder(sample.folder, run.description, 2)
        repair = sample.number % 4 == 0
        try:
            with contextlib.redirect_stderr(io.StringIO()):
                found = run_folder.reopen(learner, repair)
                if found.unevaluated_record is None:  # else the next line is that record's
                    run_folder.metrics.append({"step": found.step + 1})
        finally:
            run_folder.close()
        own = _tensors(learner)
        require(all(bool(np.isfinite(array).all()) for array in own.values()), "resumed with NaN or infinity")
        require(learner.step == found.step, "two step counts")
        if not repair:
            records = run_folder.metrics.records(found.lines)
            require([one["step"] for one in records] == list(range(1, found.lines + 1)), "resumed with other metrics")
        if _names_its_run(sample.files.get("last.safetensors")):  # else of a version without descriptions and checksums
            of = next((progress for tensors, progress in run.states if _same(own, tensors)), None)
            require(of is not None, "resumed with other tensors")
            assert of is not None
            require(found.step == of.step, f"resumed with other progress, {found}")
            require(repair or found == of, f"resumed with other progress, {found}")
        return f"resumed {repair} {found.step == last.step}"

    return read


def _names_its_run(content: bytes | str | None) -> bool:
    if not isinstance(content, bytes):
        return True
    try:
        return not {"run", "npswin_sha256"}.isdisjoint(split_safetensors(content)[0]["__metadata__"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return True


def checkpoint_door(folder: Path) -> Door:
    """`RunFolder.reopen`, with last.safetensors mutated."""
    files = _run(folder).files
    plain = {**files, "last.safetensors": _stripped(files["last.safetensors"])}
    errors = (training.RunFolderError,)
    return Door("checkpoint", errors, [files, plain], _read_run(folder), ("last.safetensors",), changes_files=True)


def run_door(folder: Path) -> Door:
    """`RunFolder.reopen`, with the other files mutated."""
    mutated = ("config.json", "metrics.jsonl", "best.safetensors", "previous.safetensors")
    return Door("run", (training.RunFolderError,), [_run(folder).files], _read_run(folder), mutated, changes_files=True)


def _stripped(content: bytes | str) -> bytes:
    assert isinstance(content, bytes)
    header, body = split_safetensors(content)
    metadata = {name: text for name, text in header["__metadata__"].items() if name != "npswin_sha256"}
    tensors = {
        name: (entry["dtype"], entry["shape"], body[slice(*entry["data_offsets"])])
        for name, entry in header.items()
        if name != "__metadata__"
    }
    return join_safetensors(tensors, metadata)


# Answer keys.


@cache
def _keys(folder: Path) -> list[Files]:
    """Keys: of a shifted block, whole and thinned; of a single block with normalized images; without a checksum."""
    shifted, single = _model(dtype="float64", img_size=(4, 5)), {"depths": (1,), "position_bias": "none"}
    pixels, labels = golden.draw_pixels(0, 2, (4, 5), 1), [0, 2]
    whole = trace(shifted, pixels, labels, normalization=([0.5], [0.25]))
    images = np.random.default_rng(0).standard_normal((1, 1, 4, 5))
    plain = trace(_model(dtype="float64", img_size=None, **single), images, [1], backward=False)
    keys: list[Files] = []
    for number, (traced, options) in enumerate(((whole, {"cases": ["even"]}), (whole, {"sample": 4}), (plain, {}))):
        path = write_key(traced, folder / f"key{number}", **options)
        keys.append({name: (path / name).read_bytes() for name in ("manifest.json", "key.safetensors")})
    return [*keys, {**keys[2], "key.safetensors": _stripped(keys[2]["key.safetensors"])}]


def _short(key: Files) -> Files:
    """A key whose manifest has only what is read of it, and no checksum in the other file."""
    manifest = json.loads(key["manifest.json"])
    manifest["tensors"] = [{name: one[name] for name in ("name", "shape", "stored")} for one in manifest["tensors"]]
    content = key["key.safetensors"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "key.safetensors")
        path.write_bytes(content)
        tensors, metadata = load_tensors(path)
        del metadata[MANIFEST_CHECKSUM]
        save_tensors(path, tensors, metadata)
        shortened = path.read_bytes()
    tensors_file = shortened if _has_checksum(content) else _stripped(shortened)
    return {"manifest.json": json.dumps(manifest).encode(), "key.safetensors": tensors_file}


@cache
def _right_dump(folder: Path, number: int) -> tuple[AnswerKey, dict[str, np.ndarray]]:
    """A key, and the tensors that a right port dumps."""
    key = AnswerKey(folder / f"key{number}")
    names = [name for name in key.graph.computed if name in key and key.positions(name) is None]
    return key, {name: key[name].astype(np.float32) for name in names[:20]}


def _read_key(folder: Path, seeds: list[Files]) -> Callable[[Sample], str]:
    contents = {one["key.safetensors"] for one in seeds}

    def read(sample: Sample) -> str:
        key = AnswerKey(sample.folder)
        found = sample.files["key.safetensors"]
        assert isinstance(found, bytes)
        require(not _has_checksum(found) or found in contents, "a wrong checksum accepted")
        sources = key.sources
        stored = decoded(found)
        for name, array in sources.items():
            require(bool(np.isfinite(array).all()), f"{name} is not finite")
            require(array.shape == key.shapes[name] and _equal(array, stored[name]), f"{name} has other numbers")
        if sample.number % 20 == 0:
            own, dump = _right_dump(folder, min(2, seeds.index(sample.seed)))
            found_tensors = {name: in_memory(array) for name, array in dump.items() if name in key.shapes}
            comparison = Comparer(key, Candidate(found_tensors, key.shapes, "dump")).compare()
            if _same(sources, own.sources) and key.config == own.config and sample.only_bytes:
                require(comparison.ok, "the right dump does not agree with it")
            return f"compared {comparison.ok}"
        return f"read {len(sources)}"

    return read


def key_door(folder: Path) -> Door:
    """`AnswerKey` and `Comparer`, with key.safetensors mutated."""
    seeds = [_short(key) for key in _keys(folder)]
    return Door("key", (AnswerKeyError,), seeds, _read_key(folder, seeds), ("key.safetensors",))


def manifest_door(folder: Path) -> Door:
    """`AnswerKey` and `Comparer`, with manifest.json mutated."""
    whole, thinned, plain, _ = _keys(folder)
    seeds = [_short(whole), _short(thinned), plain, _short(plain)]
    return Door("manifest", (AnswerKeyError,), seeds, _read_key(folder, seeds), ("manifest.json",))


# Dumps.


def dump_door(kind: str) -> Callable[[Path], Door]:
    """`read_candidate`, `Comparer` and `compare_two_dumps`, for dumps of one format."""

    def make(folder: Path) -> Door:
        _keys(folder)
        key, right = _right_dump(folder, 0)
        names = ["layers.0.blocks.1.attn.mask", "layers.0.blocks.1.attn.scores", "patch_embed.proj", "loss"]
        names = [name for name in names if name in right] or list(right)[:4]
        arrays = {name: right[name] for name in names} | {"other": np.arange(6.0)}
        seeds = [_dump(kind, arrays), _dump(kind, {name: array.astype(np.float64) for name, array in arrays.items()})]

        def read(sample: Sample) -> str:
            path = {"safetensors": "d.safetensors", "npz": "d.npz"}.get(kind)
            where = sample.folder / path if path else sample.folder
            candidate = read_candidate(where, key.shapes)
            for name, array in (candidate.tensors | candidate.misshapen).items():
                wanted = _as_float64(_DECODERS[kind](sample.files, name))
                if name in candidate.tensors:
                    require(array.shape == key.shapes[name], f"{name} has another shape")
                    wanted = wanted.reshape(array.shape)
                require(_equal(_as_float64(array), wanted), f"{name} has other numbers")
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


def _dump(kind: str, arrays: Mapping[str, np.ndarray]) -> Files:
    stream = io.BytesIO()
    if kind == "safetensors":
        codes = {"float64": "F64", "float32": "F32"}
        tensors = {name: (codes[one.dtype.name], list(one.shape), one.tobytes()) for name, one in arrays.items()}
        return {"d.safetensors": join_safetensors(tensors, {})}
    if kind == "npz":
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
        return {"d.npz": stream.getvalue()}
    if kind == "raw":
        listed = {name: {"shape": list(one.shape), "dtype": one.dtype.name} for name, one in arrays.items()}
        contents: Files = {f"{name}.bin": one.tobytes() for name, one in arrays.items()}
        return {"shapes.json": json.dumps(listed).encode(), **contents}
    files: Files = {}
    for name, array in arrays.items():
        stream = io.BytesIO()
        np.save(stream, array)
        files[f"{name}.npy"] = stream.getvalue()
    return files


def _as_float64(array: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # of a signalling NaN
        return np.asarray(array, np.float64)


def _decoded_npy(content: bytes | str) -> np.ndarray:
    assert isinstance(content, bytes)
    return np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)


def _decoded_member(files: Files, name: str) -> np.ndarray:
    content = files["d.npz"]
    assert isinstance(content, bytes)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return _decoded_npy(archive.read(f"{name}.npy"))


def _decoded_raw(files: Files, name: str) -> np.ndarray:
    listed, content = files["shapes.json"], files[f"{name}.bin"]
    assert isinstance(listed, bytes)
    assert isinstance(content, bytes)
    entry = json.loads(listed)[name]
    if entry["dtype"] in ("bfloat16", "BF16"):
        return (np.frombuffer(content, "<u2").astype(np.uint32) << 16).view(np.float32).reshape(entry["shape"])
    codes = {"F": "float", "I": "int", "U": "uint"}
    dtype = entry["dtype"] if entry["dtype"].islower() else codes[entry["dtype"][0]] + entry["dtype"][1:]
    return np.frombuffer(content, np.dtype(dtype).newbyteorder("<")).reshape(entry["shape"])


_DECODERS: dict[str, Callable[[Files, str], np.ndarray]] = {
    "safetensors": lambda files, name: decoded(files["d.safetensors"])[name],  # type: ignore[arg-type]
    "npz": _decoded_member,
    "npy": lambda files, name: _decoded_npy(files[f"{name}.npy"]),
    "raw": lambda files, name: (_decoded_raw if f"{name}.bin" in files else _DECODERS["npy"])(files, name),
}


def npy_door(folder: Path) -> Door:
    """`read_npy`, as `npswin gradcheck --input` reads."""
    arrays = np.arange(6.0).reshape(2, 3), np.asfortranarray(np.ones((3, 2), "<f4")), np.array(3)
    seeds = [{"x.npy": _dump("npy", {"x": array})["x.npy"]} for array in arrays]

    def read(sample: Sample) -> str:
        array = read_npy(sample.folder / "x.npy", DataFileError, 2**30)
        require(_equal(array, _decoded_npy(sample.files["x.npy"])), "other numbers")
        return f"read {array.dtype} {array.ndim}"

    return Door("npy", (DataFileError,), seeds, read)


# Data.


def cifar10_door(folder: Path) -> Door:
    """`load_cifar10` from files of three records."""
    records = 3
    cifar10._RECORDS_PER_FILE = records
    numbers = np.random.default_rng(0).integers(0, 256, (records, 3073), np.uint8)
    numbers[:, 0] = [0, 3, 9]

    def read(sample: Sample) -> str:
        found = data.load_cifar10(sample.folder, train=False)
        content = sample.files["test_batch.bin"]
        assert isinstance(content, bytes)
        wanted = np.frombuffer(content, np.uint8).reshape(records, 3073)
        require(np.array_equal(found.labels, wanted[:, 0]) and found.labels.max() <= 9, "other labels")
        require(np.array_equal(found.images.reshape(records, -1), wanted[:, 1:]), "other pixels")
        return "read"

    return Door("cifar10", (DataFileError,), [{"test_batch.bin": numbers.tobytes()}], read)


def archive_door(folder: Path) -> Door:
    """`extract_cifar10` from small archives."""
    names = (*cifar10_download.TRAIN_FILES, *cifar10_download.TEST_FILES)
    contents = {f"{cifar10_download.FOLDER}/{name}": name.encode() * 30 for name in names}
    more = {f"{cifar10_download.FOLDER}/readme.html": b"<p>" * 300, **contents}
    target = folder / "extracted"
    target.mkdir(exist_ok=True)

    def read(sample: Sample) -> str:
        cifar10_download.extract_cifar10(sample.folder / "a.tar.gz", target)
        require([path.name for path in target.iterdir()] == [cifar10_download.FOLDER], "other files are extracted")
        found = {path.name for path in (target / cifar10_download.FOLDER).iterdir()}
        require(found == set(names), "other files are extracted")
        return "extracted"

    seeds: list[Files] = [{"a.tar.gz": tar_gz(contents)}, {"a.tar.gz": tar_gz(more)}]
    return Door("archive", (DataFileError,), seeds, read)


# `npswin golden`.


def config_door(folder: Path) -> Door:
    """`npswin golden --config`, with a bound that lets small models pass."""
    golden_command.MOST_WEIGHTS = 1e5
    golden_command.MOST_BLOCKS = 20
    more = {
        **SMALL_MODEL,
        "ape": True,
        "position_bias": "full",
        "head_dim": 2,
        "mask_value": "-inf",
        "merge_bias": True,
    }
    small = {**SMALL_MODEL, "depths": [1, 1], "num_heads": [1, 2], "img_size": [8, 6], "qkv_bias": False}
    seeds: list[Files] = [{"c.json": json.dumps(one).encode()} for one in (SMALL_MODEL, more, small, {"depths": [1]})]

    def read(sample: Sample) -> str:
        model = golden_command._model_of(sample.folder / "c.json", "float32")
        content = sample.files["c.json"]
        assert isinstance(content, bytes)
        for name, value in json.loads(content).items():
            own = model.config[name]
            require(name == "dtype" or own == value or str(own) == str(value), f"{name} is {own}, in the file {value}")
        size = sum(param.size for param in model.params.values())
        require(size < 4e5, f"a model of {size} weights passes the bound")
        return f"model {len(model.trunk)} {sorted(json.loads(content))}"

    return Door("config", (FileError,), seeds, read)


def image_door(folder: Path) -> Door:
    """`read_images`, with a bound that lets small images pass."""
    from PIL import Image

    golden.MOST_PIXELS = 2**20
    pixels = np.random.default_rng(0).integers(0, 256, (8, 7, 4), np.uint8)
    sizes = {"png": "RGBA", "jpg": "RGB", "gif": "P", "bmp": "RGB", "webp": "RGB", "tif": "RGB", "ppm": "RGB"}
    seeds: list[Files] = []
    for suffix, mode in sizes.items():
        stream = io.BytesIO()
        kind = {"jpg": "JPEG", "tif": "TIFF"}.get(suffix, suffix.upper())
        Image.fromarray(pixels).convert(mode).save(stream, kind)
        seeds.append({f"i.{suffix}": stream.getvalue()})
    stream = io.BytesIO()
    Image.fromarray(pixels[..., 0]).save(stream, "PNG")
    seeds.append({"i.png": stream.getvalue()})

    def read(sample: Sample) -> str:
        name = next(iter(sample.seed))
        found = golden.read_images([sample.folder / name], (4, 4))
        require(found.shape == (1, 3, 4, 4) and found.dtype == np.uint8, "no image")
        if name == "i.png" and sample.only_bytes:
            (folder / "image").write_bytes(sample.seed[name])  # type: ignore[arg-type]
            require(_equal(found, golden.read_images([folder / "image"], (4, 4))), "another image")
        return f"image {name}"

    return Door("image", (DataFileError,), seeds, read)
