"""What a file is that has no weights in safetensors: each kind in a sentence, for load_weights and npswin convert."""

import bz2
import gzip
import io
import json
import lzma
import pickle
import tarfile
import zipfile

import numpy as np
import pytest

from npswin.cli import main as npswin_command
from npswin.weights import WeightFileError, load_weights
from npswin.weights.convert_file import convert_file
from tests.weights.test_load import small


def archive(**members):
    """The bytes of a zip archive."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    return stream.getvalue()


def tar():
    """The bytes of a tar archive."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as file:
        file.addfile(tarfile.TarInfo("swin.pth"), io.BytesIO())
    return stream.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 113342517\n"
MSGPACK = b"\x81\xa6params\x82\xabpatch_embed\x81"
ONNX = b"\x08\x08\x12\x07pytorch\x1a\x052.1.0:\xd1\x01"

# Name and bytes of a file, and what the message has to say.
KINDS = {
    "empty": ("swin.pth", b"", "is empty, .*download it again"),
    "LFS pointer": ("model.safetensors", LFS, "Git LFS pointer.* of 113,342,517 bytes: .*git lfs pull"),
    "HTML": ("swin.pth", b"<!DOCTYPE html>\n<html><head>", "a web page .*login"),
    "HTML after white space": ("swin.safetensors", b"\n  <HTML lang=en>", "a web page"),
    "HTML after a mark": ("swin.pth", b"\xef\xbb\xbf<html><head>", "a web page"),
    "HTML after a comment": ("swin.pth", b"<!-- saved --><html>", "a web page"),
    "Keras": ("swin.keras", archive(**{"config.json": "{}", "model.weights.h5": "x"}), "a model of Keras"),
    "XML": ("swin.bin", b'<?xml version="1.0"?><Error><Code>AccessDenied</Code>', "XML .*server's error"),
    "a server's text": ("swin.pth", b"404: Not Found", "14 bytes of text.*404: Not Found"),
    "zeros": ("swin.safetensors", bytes(9000), "zeros, a download that did not finish .*download it again"),
    "unfinished by its name": ("swin.pth.crdownload", b"\x01" * 99, "an unfinished download"),
    "a zip file's first half": ("swin.pth", archive(a="b")[:-30], "the end is missing.*download it again"),
    "Paddle": ("swin.pdparams", pickle.dumps({"a": 1}), "PaddlePaddle's .*take the model's PyTorch file"),
    "Paddle by content": ("swin.bin", pickle.dumps({"StructuredToParameterName@@": 1}), "PaddlePaddle's"),
    "HDF5": ("swin.h5", b"\x89HDF\r\n\x1a\n\0\0\0\0\0\0", "HDF5 .*Keras"),
    "GGUF": ("swin.gguf", b"GGUF\3\0\0\0\0\0\0\0", "GGUF .*take the safetensors or PyTorch file"),
    "ONNX": ("swin.onnx", b"\x08\x09", "an ONNX model"),
    "ONNX by content": ("swin", ONNX, "an ONNX model"),
    "TensorFlow index": ("model.ckpt-1.index", b"\0\0\2\1\2", "a part of a TensorFlow model"),
    "TensorFlow data": ("model.ckpt-1.data-00000-of-00001", b"\x12\x34" * 9, "a part of a TensorFlow model"),
    "TensorFlow graph": ("saved_model.pb", b"\x08\x01\x12\x05\n", "a part of a TensorFlow model"),
    "TensorFlow Lite": ("swin.tflite", b"\x1c\0\0\0TFL3\0\0", "TensorFlow Lite"),
    "Flax": ("flax_model.msgpack", MSGPACK, "Flax's weights"),
    "Flax by content": ("weights", MSGPACK, "Flax's weights"),
    "zip": ("swin.zip", archive(**{"swin/swin_tiny.pth": "x"}), r"zip archive: unpack it.*swin/swin_tiny\.pth"),
    "gzip": ("swin.pth.gz", gzip.compress(b"x"), "gzip: unpack it"),
    "bzip2": ("swin.bz2", bz2.compress(b"x"), "bzip2: unpack it"),
    "xz": ("swin.xz", lzma.compress(b"x"), "xz: unpack it"),
    "tar": ("swin.pth.tar", tar(), "a tar archive: unpack it"),
    "config.json": ("config.json", b'{"architectures": ["Swin"], "depths": [2]}', "a model's configuration in JSON"),
    "JSON": ("a.json", b'[{"a": 1}]', "text in JSON, no weights"),
    "npy": ("a.npy", b"\x93NUMPY\x01\0", "a single NumPy array"),
    "PNG": ("swin.safetensors", b"\x89PNG\r\n\x1a\n", "a PNG image"),
    "bytes under PyTorch's name": ("swin.pth", b"\x01\x02\xff" * 99, "name as PyTorch's .*download it again"),
    "bytes": ("swin", b"\x01\x02\xff" * 99, "of no kind that npswin knows"),
}


@pytest.mark.parametrize("case", KINDS)
def test_the_kind_is_told(tmp_path, case, capsys):
    name, content, message = KINDS[case]
    (tmp_path / name).write_bytes(content)
    model = small()
    before = {name: param.copy() for name, param in model.params.items()}
    for read in (lambda path: load_weights(model, path), lambda path: convert_file(path, tmp_path / "out")):
        with pytest.raises(WeightFileError, match=message) as caught:
            read(tmp_path / name)
        assert str(caught.value).startswith(f"{tmp_path / name}: ")
        assert "\n" not in str(caught.value)
    assert all(np.array_equal(model.params[name], before[name]) for name in before)
    assert npswin_command(["convert", str(tmp_path / name), str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith(f"npswin convert: {tmp_path / name}: ")
    assert not (tmp_path / "out").exists()


# What `npswin convert` reads: load_weights names the command.
CONVERTED = {
    "PyTorch": ("swin.pth", archive(**{"swin/data.pkl": b"", "swin/data/0": b""}), "PyTorch pickle"),
    "PyTorch before 1.6": ("swin.pt", pickle.dumps(0x1950A86A20F9469CFC6C, 2) + b"rest", "PyTorch pickle"),
    "detectron2": ("swin.pkl", pickle.dumps({"model": {}}), "a pickle"),
    "NumPy": ("swin.npz", archive(**{"head.weight.npy": b""}), "a NumPy archive"),
    "shards": ("m.safetensors.index.json", json.dumps({"weight_map": {}}).encode(), "the index of a model in several"),
}


@pytest.mark.parametrize("case", CONVERTED)
def test_the_command_that_converts_is_named(tmp_path, case):
    name, content, message = CONVERTED[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightFileError, match=rf"{message}.*`npswin convert .*{name} .*\.safetensors`") as caught:
        load_weights(small(), tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["config.json", "model.safetensors"], "is a folder, expected a file; weights in it: model.safetensors"),
        (["variables", "saved_model.pb"], "is a folder of a TensorFlow model"),
        (["ckpt.index"], "is a folder of a TensorFlow model"),
        (["readme.md"], "is a folder, expected a file, and no file in it has weights by its name"),
    ],
)
def test_a_folder(tmp_path, names, message):
    for name in names:
        (tmp_path / name).touch()
    for read in (lambda: load_weights(small(), tmp_path), lambda: convert_file(tmp_path, tmp_path / "out")):
        with pytest.raises(WeightFileError, match=message) as caught:
            read()
        assert isinstance(caught.value, IsADirectoryError)
