"""Mutations of files: of bytes, of JSON, and of the formats' structures, which stay valid outside of the mutation."""

import io
import json
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from functools import lru_cache
from random import Random
from typing import Any

from tests.tools.fuzzing.safetensors import CODES, join_safetensors, split_safetensors
from tests.tools.fuzzing.workspace import NOT_FILES, Files

INTEGERS = (0, 1, 2, 3, 4, 7, 8, 127, 128, 255, 256, 65_535, 65_536, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**32)
LARGE_INTEGERS = (2**40, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 10**30)
RAW = ("NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1e-999", "-0.0", "1.0", "0.5", "1e308", "9" * 5000, "0x10")
TEXTS = ("", "a", "\0", "a\0b", "../../x", "/etc/passwd", "\ud800", "ä" * 50, "x" * 300, "x" * 5000, "nan", "-inf", "1")
BYTES = (0, 1, 9, 10, 34, 44, 45, 48, 57, 58, 91, 93, 123, 125, 127, 128, 192, 254, 255)
LARGEST_FILE = 2**20  # bytes; larger ones are among NOT_FILES
LARGEST_MEMBER = 100_000  # bytes of an archive's member that is mutated
_RAW_MARK = "@@raw {}@@"
_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")

Mutation = Callable[[bytes, Random, bytes], bytes]


def mutate(files: Files, rng: Random, donor: Files, names: tuple[str, ...]) -> tuple[Files, bool]:
    """Mutate one of a few files, once or several times.

    Args:
        files: to mutate; not changed.
        rng: draws the mutations.
        donor: other files of the same kind, to splice with.
        names: of the files that may be mutated.

    Returns:
        The files, and whether all mutations were of bytes, regardless of the format.
    """
    files, only_bytes = dict(files), True
    files = files or dict(donor) or {"x.json": b"{}"}
    candidates = [name for name in names if name in files] or list(files)
    for _ in range(1 + int(rng.random() < 0.3) * rng.randrange(1, 4)):
        name = rng.choice(candidates)
        content, other = files.get(name), donor.get(name, b"")
        if rng.random() < 0.01 or not isinstance(content, bytes):
            _replace_file(files, name, rng)
            only_bytes = False
            continue
        mutation = _structured(name) if rng.random() < 0.6 else None
        changed = (mutation or mutate_bytes)(content, rng, other if isinstance(other, bytes) else b"")
        if len(changed) <= LARGEST_FILE:
            files[name] = changed
            only_bytes = only_bytes and mutation is None
    return files, only_bytes


def _replace_file(files: Files, name: str, rng: Random) -> None:
    """Put something else in place of a file, remove it, or rename it."""
    kind = rng.choice((*NOT_FILES, "", "remove", "rename"))
    content = files.pop(name, b"")
    if kind == "rename":
        stem = rng.choice(("x", "deep/er/x", "layers.0", "grad/x", "x" * 200, " ", "\n", "ä"))
        files[stem + name[name.rfind(".") :]] = content
    elif kind != "remove":
        files[name] = kind or b""


def _structured(name: str) -> Mutation | None:
    for suffix, mutation in _FORMATS.items():
        if name.endswith(suffix):
            return mutation
    return None


# Bytes.


def mutate_bytes(data: bytes, rng: Random, other: bytes) -> bytes:
    """Change bytes at one place, whatever the format."""
    mutation = rng.choice(_OF_BYTES)
    return mutation(data, rng, other)


def _span(data: bytes, rng: Random) -> tuple[int, int]:
    """A range of bytes, mostly short, often near the beginning."""
    limit = len(data) if rng.random() < 0.6 else min(len(data), 300)
    start = rng.randrange(limit + 1)
    return start, min(len(data), start + rng.choice((1, 1, 2, 4, 8, 16, 64, 1000, len(data))))


def _flip_bit(data: bytes, rng: Random, _: bytes) -> bytes:
    if not data:
        return b"\0"
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        start = _span(data, rng)[0] % len(data)
        changed[start] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _set_byte(data: bytes, rng: Random, _: bytes) -> bytes:
    start, _ = _span(data, rng)
    return data[:start] + bytes([rng.choice(BYTES)]) + data[start + 1 :]


def _zero(data: bytes, rng: Random, _: bytes) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + rng.choice((b"\0", b"\xff", b" ")) * (end - start) + data[end:]


def _delete(data: bytes, rng: Random, _: bytes) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + data[end:]


def _duplicate(data: bytes, rng: Random, _: bytes) -> bytes:
    start, end = _span(data, rng)
    return data[:end] + data[start:end] * rng.choice((1, 1, 2, 10)) + data[end:]


def _insert(data: bytes, rng: Random, _: bytes) -> bytes:
    start, _ = _span(data, rng)
    return (
        data[:start] + rng.choice((rng.randbytes(rng.choice((1, 4, 64))), b"\0" * 8, b"[" * 3000, b'"')) + data[start:]
    )


def _truncate(data: bytes, rng: Random, _: bytes) -> bytes:
    return data[: _span(data, rng)[0]]


def _splice(data: bytes, rng: Random, other: bytes) -> bytes:
    return data[: _span(data, rng)[0]] + other[_span(other, rng)[0] :]


def _integer(data: bytes, rng: Random, _: bytes) -> bytes:
    size = rng.choice((1, 2, 4, 8))
    value = rng.choice((*INTEGERS, *LARGE_INTEGERS[:-1], -1, len(data), rng.getrandbits(64))) % 256**size
    start, _ = _span(data, rng)
    return data[:start] + value.to_bytes(size, rng.choice(("little", "big"))) + data[start + size :]


def _number(data: bytes, rng: Random, _: bytes) -> bytes:
    """Another number in place of one in decimal digits."""
    found = [match.span() for match in _NUMBER.finditer(data[:4096])]
    if not found:
        return _integer(data, rng, b"")
    start, end = rng.choice(found)
    text = rng.choice((*map(str, INTEGERS), *map(str, LARGE_INTEGERS), *RAW, "-1", "1" * 6000))
    return data[:start] + text.encode() + data[end:]


_OF_BYTES: tuple[Mutation, ...] = (
    _flip_bit, _flip_bit, _set_byte, _zero, _delete, _duplicate, _insert, _truncate, _splice, _integer, _number,
)  # fmt: skip


# JSON.


def mutate_json(data: bytes, rng: Random, _: bytes) -> bytes:
    """Another value, type, name or structure somewhere in JSON."""
    try:
        value = _parsed(data)
    except (ValueError, RecursionError):
        return mutate_bytes(data, rng, b"")
    return _rendered(change_value(value, rng))


@lru_cache(maxsize=64)
def _parsed(data: bytes) -> Any:
    return json.loads(data)


def _rendered(value: Any) -> bytes:
    text = json.dumps(value)
    if "@@" in text:
        text = re.sub(r'"@@raw (.*?)@@"', r"\1", text)
        text = text.replace('@@twice@@"', '"')
    return text.encode()


def change_value(value: Any, rng: Random) -> Any:
    """A copy of a value of JSON with one change somewhere in it."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        name = rng.choice(list(value))
        what = rng.random()
        if what < 0.75:
            return {**value, name: change_value(value[name], rng)}
        changed = dict(value)
        if what < 0.83:
            del changed[name]
        elif what < 0.88:
            changed[rng.choice((*TEXTS, rng.choice(list(value)) + "x"))] = changed.pop(name)
        elif what < 0.93:
            changed[name + "@@twice@@"] = rng.choice((change_value(value[name], rng), value[name]))
        else:
            changed[rng.choice(TEXTS)] = _other_value(rng, value[name])
        return changed
    if isinstance(value, list) and value and rng.random() < 0.8:
        place = rng.randrange(len(value))
        what = rng.random()
        if what < 0.6:
            return [*value[:place], change_value(value[place], rng), *value[place + 1 :]]
        if what < 0.7:
            return value[:place] + value[place + 1 :]
        if what < 0.8:
            times = 2 if isinstance(value[place], list | dict | str) else rng.choice((2, 3, 1000))
            return value[:place] + [value[place]] * times + value[place + 1 :]
        if what < 0.9:
            return value[::-1]
        return [*value[:place], _other_value(rng, value[place]), *value[place:]]
    return _other_value(rng, value)


def _other_value(rng: Random, value: Any) -> Any:
    what = rng.randrange(10)
    if what == 0:
        return rng.choice((None, True, False))
    if what == 1:
        return rng.choice(TEXTS)
    if what == 2:
        return _RAW_MARK.format(rng.choice(RAW))
    if what == 3:
        return rng.choice(([], {}, [value], {"a": value}, [[value]], [1, 2], [None], [value, value]))
    if what == 4:
        return _RAW_MARK.format(rng.choice((_nested(50), _nested(2000), _many())))
    if what == 5 and type(value) in (int, float):
        return value + rng.choice((1, -1) if isinstance(value, int) else (1, -1, 0.5, 1e-9))
    if what == 6 and type(value) in (int, float):
        return -value
    if what == 7 and isinstance(value, str) and value:
        place = rng.randrange(len(value))
        return value[:place] + rng.choice(("", "x", value[place:] * 2, "\n")) + value[place + 1 :]
    if what == 8:
        return _RAW_MARK.format(rng.choice(LARGE_INTEGERS))
    return rng.choice((*INTEGERS, -1, -(2**31), 0.1, 1.5))


def _nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@lru_cache
def _many() -> str:
    return "[" + "1," * 70_000 + "1]"


def mutate_lines(data: bytes, rng: Random, _: bytes) -> bytes:
    """One line of JSON lines changed, removed or moved."""
    lines = data.split(b"\n")
    place = rng.randrange(len(lines))
    if rng.random() < 0.6:
        lines[place] = mutate_json(lines[place], rng, b"")
    elif rng.random() < 0.5:
        del lines[place]
    else:
        lines.insert(rng.randrange(len(lines)), lines[place])
    return b"\n".join(lines)


# safetensors.


def mutate_safetensors(data: bytes, rng: Random, _: bytes) -> bytes:
    """The header changed, with the right length before it; or a tensor changed, with right offsets."""
    try:
        header, body = split_safetensors(data)
        names = [name for name in header if name != "__metadata__"]
        what = rng.random()
        if what < 0.35 or not names:
            header = change_value(header, rng)
            text = _rendered(header)
            return len(text).to_bytes(8, "little") + text + body
        tensors = {name: (header[name]["dtype"], header[name]["shape"], _body_of(header[name], body)) for name in names}
        metadata = dict(header.get("__metadata__", {}))
        if what < 0.8:
            metadata.pop("npswin_sha256", None)  # else only its comparison would be tested
        if what < 0.45 and metadata:
            name = rng.choice(list(metadata))
            metadata[name] = str(mutate_json(metadata[name].encode(), rng, b""), "utf-8", "replace")
        name = rng.choice(names)
        dtype, shape, numbers = tensors[name]
        tensors[name] = _changed_tensor(dtype, shape, numbers, rng)
        if rng.random() < 0.15:
            tensors[rng.choice((*TEXTS[2:8], name + "x", rng.choice(names)))] = tensors.pop(name)
        return join_safetensors(tensors, metadata)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        return mutate_bytes(data, rng, b"")


def _body_of(entry: dict[str, Any], body: bytes) -> bytes:
    start, end = entry["data_offsets"]
    return body[start:end]


def _changed_tensor(dtype: str, shape: list[int], numbers: bytes, rng: Random) -> tuple[str, list[int], bytes]:
    """Another dtype, shape or numbers, with as many bytes as they need."""
    what = rng.random()
    if what < 0.3:
        dtype = rng.choice(list(CODES))
    elif what < 0.6:
        shape = rng.choice(
            (shape[::-1], [], [0], [1, *shape], shape[1:], [*shape, 1], [*shape, 2], [1] * 40, [3], [2] * 9)
        )
    elif what < 0.9:
        numbers = mutate_bytes(numbers, rng, b"")
    else:
        special = rng.choice((float("nan"), float("inf"), -float("inf"), 1e38, 1e-45, -0.0, 3e300))
        width = CODES[dtype]
        packed = struct.pack("<d", special) if width == 8 else struct.pack("<f", min(special, 3e38))[-min(width, 4) :]
        place = rng.randrange(len(numbers) // width + 1) * width
        numbers = numbers[:place] + packed + numbers[place + width :]
    size = CODES[dtype]
    for side in shape:
        size *= side
    size = min(size, LARGEST_MEMBER)
    return dtype, shape, (numbers * (size // max(len(numbers), 1) + 1))[:size].ljust(size, b"\0")


# .npy and .npz.


def mutate_npy(data: bytes, rng: Random, _: bytes) -> bytes:
    """The header's text changed, with the right length before it."""
    if len(data) < 10 or data[6] != 1:
        return mutate_bytes(data, rng, b"")
    length = int.from_bytes(data[8:10], "little")
    header, body = data[10 : 10 + length].decode("latin1"), data[10 + length :]
    what = rng.random()
    if what < 0.3:
        dtypes = ("<f4", "<f8", ">f4", "<f2", "<i8", "|b1", "|u1", "<c8", "|O", "|S4", "<U2", "<M8[s]", "<f16", "|V4")
        header = re.sub(r"'descr': *[^,]+", f"'descr': {rng.choice(dtypes)!r}", header)
    elif what < 0.6:
        shapes = ("()", "(0,)", "(2,3)", "(3, 2)", "(6,)", "(-1,)", "(True,)", "(9999999999999, 2)", "(1.0,)", "[2, 3]",
                  "('2', 3)", "(2**3,)", "(" * 200 + ")" * 200, "(1,)" * 40,
                  "(" + "1," * 40 + ")", "(" + "9" * 4500 + ",)")  # fmt: skip
        header = re.sub(r"'shape': *\([^)]*\)", lambda _: f"'shape': {rng.choice(shapes)}", header)
    elif what < 0.7:
        header = header.replace("False", "True") if "False" in header else header.replace("True", "0")
    elif what < 0.75:
        header = rng.choice(("{" * 900, "-" * 5000 + "1", "[" * 9000, "'''", "__import__('os')", "{1: 2}", "{**{}}"))
    else:
        header = mutate_bytes(header.encode("latin1"), rng, b"").decode("latin1")
    text = header.encode("latin1")[:65_535]
    version = rng.choice((1, 1, 1, 1, 2, 3, 4))
    size = 2 if version == 1 else 4
    return b"\x93NUMPY" + bytes([version, 0]) + len(text).to_bytes(size, "little") + text + body


def mutate_npz(data: bytes, rng: Random, other: bytes) -> bytes:
    """A member changed and packed again with right sizes and checksums; or the directory's fields changed."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = [info for info in archive.infolist()[:50] if info.file_size < LARGEST_MEMBER]
            members = [(info.filename, archive.read(info)) for info in infos]
    except Exception:  # it was damaged before
        return mutate_bytes(data, rng, other)
    what = rng.random()
    if what < 0.25:
        return _directory_changed(data, rng)
    if not members:
        return mutate_bytes(data, rng, other)
    place = rng.randrange(len(members))
    name, content = members[place]
    if what < 0.65:
        members[place] = name, mutate_npy(content, rng, b"")
    elif what < 0.75:
        members.append((name, rng.choice((content, mutate_npy(content, rng, b"")))))
    elif what < 0.85:
        members[place] = rng.choice((*TEXTS[1:6], "x.npy", name[:-1], name + ".npy", "ä.npy")), content
    elif what < 0.88:
        return _bomb(name, content[:128])
    return _packed(members, rng)


def _packed(members: list[tuple[str, bytes]], rng: Random) -> bytes:
    kinds = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members:
            info = zipfile.ZipInfo(name.replace("\0", "") or "x")
            info.compress_type = kinds[rng.randrange(5) if rng.random() < 0.1 else rng.randrange(3)]
            archive._didModify = True
            archive.NameToInfo.pop(info.filename, None)  # so that a name may be there twice
            archive.writestr(info, content)
    return stream.getvalue()


def _directory_changed(data: bytes, rng: Random) -> bytes:
    """An integer of a local header, of the directory or of its end changed."""
    starts = [match.start() for match in re.finditer(b"PK(?:\x01\x02|\x03\x04|\x05\x06)", data)]
    if not starts:
        return mutate_bytes(data, rng, b"")
    start, size = rng.choice(starts) + rng.randrange(4, 46), rng.choice((2, 4))
    value = rng.choice((*INTEGERS, rng.getrandbits(32))) % 256**size
    return data[:start] + value.to_bytes(size, "little") + data[start + size :]


@lru_cache(maxsize=64)
def _bomb(name: str, content: bytes) -> bytes:
    """A member that goes on with zeros after its array: kilobytes that inflate to megabytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(name or "x", "w") as member:
        member.write(content)
        member.write(bytes(2**24))
    return stream.getvalue()


# XML, images and archives.


def mutate_xml(data: bytes, rng: Random, other: bytes) -> bytes:
    """A text between tags or a name of tags replaced; an element removed, or there twice."""
    texts = list(re.finditer(rb">([^<>]+)</", data))
    elements = list(re.finditer(rb"<(\w+)>(?:(?!<\1>).)*?</\1>", data, re.DOTALL))
    what = rng.random()
    if texts and what < 0.5:
        values = (*map(str, INTEGERS), *RAW, *TEXTS)
        return _replaced(data, rng.choice(texts).span(1), rng.choice(values).encode("utf-8", "replace"))
    if elements and what < 0.8:
        element = rng.choice(elements)
        inside = element[0] * rng.choice((0, 0, 2)) or rng.choice(elements)[0]
        return _replaced(data, element.span(), b"" if rng.random() < 0.4 else inside)
    if elements and what < 0.9:
        name = rng.choice(elements)[1]
        return data.replace(b"<" + name + b">", b"<x>").replace(b"</" + name + b">", b"</x>")
    if what < 0.95:
        return b'<!DOCTYPE a [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;">]>' + data
    return mutate_bytes(data, rng, other)


def _replaced(data: bytes, span: tuple[int, int], content: bytes) -> bytes:
    return data[: span[0]] + content + data[span[1] :]


def mutate_png(data: bytes, rng: Random, _: bytes) -> bytes:
    """A chunk changed, with the right checksum."""
    chunks, place = [], 8
    while place + 12 <= len(data) and len(chunks) < 50:
        length = int.from_bytes(data[place : place + 4], "big")
        chunks.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + length]))
        place += 12 + length
    if data[:4] != b"\x89PNG" or not chunks:
        return mutate_bytes(data, rng, b"")
    place = rng.randrange(len(chunks))
    kind, content = chunks[place]
    what = rng.random()
    if what < 0.3 and kind == b"IHDR" and len(content) == 13:
        width, height = rng.choice((0, 1, 8, 1000, 2**15, 2**31 - 1)), rng.choice((0, 1, 8, 1000, 2**15, 2**31))
        chunks[place] = (
            kind,
            struct.pack(">II", width, height)
            + bytes([rng.choice((1, 2, 4, 8, 16)), rng.choice((0, 2, 3, 4, 6)), 0, 0, rng.choice((0, 0, 1))]),
        )
    elif what < 0.4:
        chunks.insert(rng.randrange(len(chunks)), (rng.choice((b"tEXt", b"iTXt", b"PLTE", b"acTL", b"eXIf")), content))
    elif what < 0.5:
        del chunks[place]
    elif kind == b"IDAT" and what < 0.7:
        try:
            chunks[place] = kind, zlib.compress(mutate_bytes(zlib.decompress(content), rng, b""), 1)
        except zlib.error:
            chunks[place] = kind, mutate_bytes(content, rng, b"")
    else:
        chunks[place] = kind, mutate_bytes(content, rng, b"")
    parts = [
        len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")
        for kind, content in chunks
    ]
    return data[:8] + b"".join(parts)


def mutate_targz(data: bytes, rng: Random, other: bytes) -> bytes:
    """The archive inside changed, a member's size among it, and compressed again."""
    try:
        inner = zlib.decompress(data, 31)
    except zlib.error:
        return mutate_bytes(data, rng, other)
    if rng.random() < 0.5 and len(inner) >= 512:
        start = 512 * rng.randrange(len(inner) // 512)
        header = bytearray(inner[start : start + 512])
        if rng.random() < 0.5:
            header[124:136] = b"%011o\0" % rng.choice((*INTEGERS, 2**33 - 1))
        else:
            header[156:157] = rng.choice((b"0", b"5", b"2", b"L", b"x", b"g", b"S", b"K", b"7"))
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        inner = inner[:start] + bytes(header) + inner[start + 512 :]
    else:
        inner = mutate_bytes(inner, rng, b"")
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return packer.compress(inner) + packer.flush()


def tar_gz(contents: dict[str, bytes]) -> bytes:
    """A gzipped tar archive."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


_FORMATS: dict[str, Mutation] = {
    ".jsonl": mutate_lines,
    ".json": mutate_json,
    ".safetensors": mutate_safetensors,
    ".npy": mutate_npy,
    ".npz": mutate_npz,
    ".png": mutate_png,
    ".tar.gz": mutate_targz,
    ".xml": mutate_xml,
}
