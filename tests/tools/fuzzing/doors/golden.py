"""What `npswin golden` reads: a model's arguments, and images."""

import io
import json
from pathlib import Path

import numpy as np

from npswin.cli import golden as golden_command
from npswin.data import DataFileError
from npswin.files import FileError
from npswin.verify.key import golden
from tests.tools.fuzzing.doors.door import SMALL_MODEL, Door, Sample, equal, require
from tests.tools.fuzzing.workspace import Files


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
            require(equal(found, golden.read_images([folder / "image"], (4, 4))), "another image")
        return f"image {name}"

    return Door("image", (DataFileError,), seeds, read)
