"""What a file is that has no weights in safetensors, told from its first bytes, in a sentence that says what to do."""

import os
import re
import shlex
import zipfile
from pathlib import Path
from typing import BinaryIO

from npswin.files import listed, shortened, shown_path

START_BYTES = 4096  # that are read to tell the kind of a file
MOST_MEMBERS = 2**16  # of an archive
LONGEST_DIRECTORY = 2**24  # bytes, of an archive
LONGEST_MESSAGE = 500  # bytes of a file of text that is shown

PYTORCH_SUFFIXES = (".pth", ".pt", ".bin", ".pkl", ".ckpt", ".pyth", ".tar")
LEGACY_PYTORCH = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # the number at the beginning of PyTorch's older files
UNFINISHED_SUFFIXES = (".part", ".partial", ".crdownload", ".download", ".incomplete", ".tmp", ".aria2")
AGAIN = "download it again"
IF_DOWNLOADED = f"if it was downloaded, {AGAIN}"  # of a file that may be a checkpoint or a key as well

PYTORCH = "a PyTorch file"
PICKLE = "a pickle"
NPZ = "a NumPy archive"
SHARDS = "the index of a model in several files"

_PICKLE = re.compile(rb"\x80[\x02-\x05]")
_OLD_PICKLE = re.compile(rb"c[\w.]+\n[\w.]+\n|\([dlc(]|[\]}]q")  # protocols 0 and 1

# Bytes at the beginning, and what a file is that has them.
_MAGIC: list[tuple[bytes, str]] = [
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras and TensorFlow write them: take the PyTorch or safetensors file"),
    (b"GGUF", "a GGUF file, with weights for llama.cpp: take the safetensors or PyTorch file of the model"),
    (b"\x1f\x8b", "compressed by gzip: unpack it (gunzip, or tar xzf), then take the file in it"),
    (b"BZh", "compressed by bzip2: unpack it (bunzip2, or tar xjf), then take the file in it"),
    (b"\xfd7zXZ\x00", "compressed by xz: unpack it (unxz, or tar xJf), then take the file in it"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd: unpack it (unzstd), then take the file in it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive: unpack it, then take the file in it"),
    (b"Rar!\x1a\x07", "a RAR archive: unpack it, then take the file in it"),
    (b"\x93NUMPY", "a single NumPy array: numpy.load reads it, and weights need an array for each name, as in .npz"),
    (b"\x89PNG", "a PNG image, no weights"),
    (b"\xff\xd8\xff", "a JPEG image, no weights"),
    (b"%PDF", "a PDF document, no weights"),
]


def describe(path: Path, start: bytes, size: int) -> str:
    """What a file is that is not safetensors, and what helps.

    Args:
        path: of the file.
        start: its first START_BYTES.
        size: its bytes.
    """
    kind = kind_of(path, start)
    if kind is not None:
        out = path.with_suffix(".safetensors") if kind != SHARDS else path.with_name("model.safetensors")
        converts = f"npswin convert {shlex.join([shown_path(path), shown_path(out)])}"
        if kind in (PYTORCH, PICKLE):
            return (
                f"{kind}{' (PyTorch pickle)' * (kind == PYTORCH)}, which can contain any code and is never read here: "
                f"where PyTorch is installed, `{converts}` reads it safely and writes a safetensors file"
            )
        return f"{kind}, no safetensors file: `{converts}` makes one of it"
    return _other(path, start, size)


def kind_of(path: Path, start: bytes) -> str | None:
    """Which of the kinds a file is that `npswin convert` reads besides safetensors, or None."""
    suffix = path.suffix.lower()
    if suffix == ".pdparams" or _foreign_kind(path, start) is not None:
        return None
    if start.startswith(b"PK\x03\x04"):
        return _kind_of_archive(path)
    if start.startswith(LEGACY_PYTORCH):
        return PYTORCH
    if _is_shard_index(start):
        return SHARDS
    if _PICKLE.match(start) or (suffix in (*PYTORCH_SUFFIXES, ".pickle") and _OLD_PICKLE.match(start)):
        return PICKLE
    return None


def describe_folder(path: Path) -> str:
    """What is in a folder that was given as a file of weights."""
    try:
        with os.scandir(path) as entries:
            names = sorted(entry.name for entry, _ in zip(entries, range(MOST_MEMBERS), strict=False))
    except OSError:
        names = []
    weights = [name for name in names if name.endswith((".safetensors", *PYTORCH_SUFFIXES, ".npz"))]
    if weights:
        return f"is a folder, expected a file; weights in it: {listed(weights, at_most=3)}"
    if any(name.endswith(".index") or name == "saved_model.pb" for name in names):
        return "is a folder of a TensorFlow model, expected a file: take the model's PyTorch or safetensors file"
    return "is a folder, expected a file, and no file in it has weights by its name"


def _other(path: Path, start: bytes, size: int) -> str:
    if not size:
        return f"is empty, a download that did not begin or a file that was never written: {IF_DOWNLOADED}"
    if path.suffix.lower() in UNFINISHED_SUFFIXES:
        return f"not a safetensors file, but by its name an unfinished download: {AGAIN}"
    if (found := _foreign_kind(path, start)) is not None:
        return found
    if start.startswith(b"PK\x03\x04"):
        return _other_archive(path)
    if not start.strip(b"\0"):
        cause = "a download that did not finish or a file that did not get to the disk"
        return f"begins with {len(start)} zeros, {cause}: {IF_DOWNLOADED}"
    if _is_text(start):
        return _describe_text(start, size)
    if path.suffix.lower() in PYTORCH_SUFFIXES:
        return f"has a name as PyTorch's files have, but is none, or is damaged: {AGAIN}"
    return "not a safetensors file, and of no kind that npswin knows"


def _foreign_kind(path: Path, start: bytes) -> str | None:
    """What a file is by bytes that no file of weights in PyTorch's formats begins with."""
    suffix = path.suffix.lower()
    if found := next((text for magic, text in _MAGIC if start.startswith(magic)), None):
        return found
    if start.startswith(b"version https://git-lfs"):
        wanted = re.search(rb"size (\d{1,15})\n", start)
        of = f" of {int(wanted[1]):,} bytes" if wanted else ""
        return f"a Git LFS pointer, which stands for a file{of}: `git lfs install`, then `git lfs pull` in its folder"
    if re.match(
        rb"(?:\xef\xbb\xbf)?\s*<(?:!--|(?:!doctype html|html|head|body|script|meta|title)\b)", start, re.IGNORECASE
    ):
        return "a web page (HTML) under this name, for example one that asks for a login: open the link in a browser"
    if re.match(rb"\s*<\?xml", start):
        return "XML under this name, such as a server's error message or OpenVINO's: look into it with a text editor"
    if suffix in (".pdparams", ".pdiparams", ".pdmodel") or b"StructuredToParameterName@@" in start:
        return "PaddlePaddle's weights, whose linear layers are transposed: take the model's PyTorch file"
    if start[257:262] == b"ustar":
        return "a tar archive: unpack it (tar xf), then take the file in it"
    if suffix == ".onnx" or (start[:1] == b"\x08" and re.match(rb"\x08[\x01-\x20]\x12.[ -~]{3}", start, re.DOTALL)):
        return "an ONNX model, which is a graph and its weights: take the weights it was exported from"
    if start[4:8] == b"TFL3":
        return "a TensorFlow Lite model: take the model's PyTorch or safetensors file"
    if suffix in (".index", ".pb") or path.name == "checkpoint" or ".data-0" in path.name:
        return "a part of a TensorFlow model: take the model's PyTorch or safetensors file"
    if suffix == ".msgpack" or re.match(rb"(?:[\x81-\x8f]|\xde..)[\xa1-\xbf][a-z_]{3}", start, re.DOTALL):
        return "Flax's weights (msgpack): take the model's PyTorch or safetensors file"
    return None


def _kind_of_archive(path: Path) -> str | None:
    names = _members(path)
    if any(name.endswith("/data.pkl") or name == "data.pkl" for name in names):
        return PYTORCH
    return NPZ if names and all(name.endswith(".npy") for name in names) else None


def _other_archive(path: Path) -> str:
    names = _members(path)
    if not names:
        what = "a zip or PyTorch file of which the end is missing, a download that did not finish"
        return f"{what}: {AGAIN}"
    if any(name.endswith(".weights.h5") for name in names):
        return "a model of Keras: take the PyTorch or safetensors file"
    inside = [name for name in names if name.lower().endswith((".safetensors", ".npz", *PYTORCH_SUFFIXES))]
    return f"a zip archive: unpack it, then take the file in it ({listed(inside or names, at_most=3)})"


def _members(path: Path) -> list[str]:
    """The names in a zip archive; none where its directory cannot be read."""
    try:
        with open(path, "rb") as file, zipfile.ZipFile(_BoundedReads(file)) as archive:
            return archive.namelist()[:MOST_MEMBERS]
    except Exception:  # zipfile raises what struct and codecs raise, too
        return []


class _BoundedReads:
    """A file of which no single read is long, as that of an archive's directory may claim to be."""

    def __init__(self, file: BinaryIO) -> None:
        self.seek, self.tell, self.seekable, self._read = file.seek, file.tell, file.seekable, file.read

    def read(self, size: int = -1) -> bytes:
        if size > LONGEST_DIRECTORY:
            raise ValueError(f"its directory has {size} bytes, expected at most {LONGEST_DIRECTORY}")
        return self._read(size)


def _is_shard_index(start: bytes) -> bool:
    return start.lstrip()[:1] == b"{" and b'"weight_map"' in start


def _is_text(start: bytes) -> bool:
    try:
        text = start.decode("utf-8", "strict" if len(start) < START_BYTES else "ignore")
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character in "\r\n\t" for character in text)


def _describe_text(start: bytes, size: int) -> str:
    if start.lstrip()[:1] in (b"{", b"["):
        if b'"architectures"' in start or b'"model_type"' in start:
            return "not a safetensors file, but a model's configuration in JSON: take the file of weights beside it"
        return "not a safetensors file, but text in JSON, no weights"
    text = " ".join(start[:LONGEST_MESSAGE].decode("utf-8", "replace").split())
    return f"not a safetensors file, but {size} bytes of text, such as a server's message: {shortened(text, 120)!r}"
