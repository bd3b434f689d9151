"""Answer keys."""

import json
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from npswin.verify.key import AnswerKey, AnswerKeyError, golden, trace, write_key
from npswin.verify.key.write import MANIFEST_CHECKSUM
from npswin.verify.port.candidate import Candidate, in_memory
from npswin.verify.port.comparer import Comparer
from npswin.weights import load_tensors, save_tensors
from tests.tools.fuzzing.doors.door import Door, Sample, equal, require, same, small_model
from tests.tools.fuzzing.safetensors import decoded, has_checksum, without_checksum
from tests.tools.fuzzing.workspace import Files


@cache
def small_keys(folder: Path) -> list[Files]:
    """Keys: of a shifted block, whole and thinned; of a single block with normalized images; without a checksum."""
    shifted, single = small_model(dtype="float64", img_size=(4, 5)), {"depths": (1,), "position_bias": "none"}
    pixels, labels = golden.draw_pixels(0, 2, (4, 5), 1), [0, 2]
    whole = trace(shifted, pixels, labels, normalization=([0.5], [0.25]))
    images = np.random.default_rng(0).standard_normal((1, 1, 4, 5))
    plain = trace(small_model(dtype="float64", img_size=None, **single), images, [1], backward=False)
    keys: list[Files] = []
    for number, (traced, options) in enumerate(((whole, {"cases": ["even"]}), (whole, {"sample": 4}), (plain, {}))):
        path = write_key(traced, folder / f"key{number}", **options)
        keys.append({name: (path / name).read_bytes() for name in ("manifest.json", "key.safetensors")})
    return [*keys, {**keys[2], "key.safetensors": without_checksum(keys[2]["key.safetensors"])}]


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
    tensors_file = shortened if has_checksum(content) else without_checksum(shortened)
    return {"manifest.json": json.dumps(manifest).encode(), "key.safetensors": tensors_file}


@cache
def right_dump(folder: Path, number: int) -> tuple[AnswerKey, dict[str, np.ndarray]]:
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
        require(not has_checksum(found) or found in contents, "a wrong checksum accepted")
        sources = key.sources
        stored = decoded(found)
        for name, array in sources.items():
            require(bool(np.isfinite(array).all()), f"{name} is not finite")
            require(array.shape == key.shapes[name] and equal(array, stored[name]), f"{name} has other numbers")
        if sample.number % 20 == 0:
            own, dump = right_dump(folder, min(2, seeds.index(sample.seed)))
            found_tensors = {name: in_memory(array) for name, array in dump.items() if name in key.shapes}
            comparison = Comparer(key, Candidate(found_tensors, key.shapes, "dump")).compare()
            if same(sources, own.sources) and key.config == own.config and sample.only_bytes:
                require(comparison.ok, "the right dump does not agree with it")
            return f"compared {comparison.ok}"
        return f"read {len(sources)}"

    return read


def key_door(folder: Path) -> Door:
    """`AnswerKey` and `Comparer`, with key.safetensors mutated."""
    seeds = [_short(key) for key in small_keys(folder)]
    return Door("key", (AnswerKeyError,), seeds, _read_key(folder, seeds), ("key.safetensors",))


def manifest_door(folder: Path) -> Door:
    """`AnswerKey` and `Comparer`, with manifest.json mutated."""
    whole, thinned, plain, _ = small_keys(folder)
    seeds = [_short(whole), _short(thinned), plain, _short(plain)]
    return Door("manifest", (AnswerKeyError,), seeds, _read_key(folder, seeds), ("manifest.json",))
