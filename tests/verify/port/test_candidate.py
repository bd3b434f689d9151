"""Candidates: dumps in every format, whole and damaged."""

import io
import json
import os
import struct
import time
import tracemalloc
import zipfile

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from npswin.verify.port import read_dump
from npswin.verify.port.candidate import CandidateError, regroups
from npswin.verify.port.read_dump import read_candidate

SHAPES = {"a": (2, 3), "layers.0.b": (2, 2, 4), "grad/a": (2, 3), "scalar": ()}


def tensors(dtype="float32"):
    rng = np.random.default_rng(0)
    return {name: rng.standard_normal(shape).astype(dtype) for name, shape in SHAPES.items()}


def write_raw(folder, arrays, **listed):
    entries = {}
    for name, array in arrays.items():
        (folder / f"{name}.bin").parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.bin").write_bytes(array.tobytes())
        entries[name] = {"shape": list(array.shape), "dtype": array.dtype.name}
    (folder / "shapes.json").write_text(json.dumps(entries | listed))
    return folder


def write_npy(folder, arrays):
    for name, array in arrays.items():
        (folder / f"{name}.npy").parent.mkdir(parents=True, exist_ok=True)
        np.save(folder / f"{name}.npy", array)
    return folder


def write_safetensors(folder, arrays):
    save_file(arrays, folder / "dump.safetensors")
    return folder / "dump.safetensors"


def write_npz(folder, arrays):
    np.savez_compressed(folder / "dump.npz", **arrays)
    return folder / "dump.npz"


WRITERS = [write_raw, write_npy, write_safetensors, write_npz]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_every_format_and_dtype(tmp_path, write, dtype):
    found = read_candidate(write(tmp_path, tensors(dtype)), SHAPES)
    assert set(found.tensors) == set(SHAPES)
    for name, array in tensors(dtype).items():
        assert np.array_equal(found.tensors[name], array.astype(np.float64))
    assert found.stored["layers.0.b"] == dtype
    assert not found.unreadable
    assert not found.unknown


@pytest.mark.parametrize("write", [write_raw, write_safetensors])
def test_bfloat16(tmp_path, write):
    arrays = tensors(ml_dtypes.bfloat16)
    found = read_candidate(write(tmp_path, arrays), SHAPES)
    assert np.array_equal(found.tensors["a"], arrays["a"].astype(np.float32))
    assert found.stored["a"] == "bfloat16"


def test_fortran_order_and_integers(tmp_path):
    arrays = {"a": np.asfortranarray(np.arange(6).reshape(2, 3)), "scalar": np.array(True)}
    found = read_candidate(write_npy(tmp_path, arrays), SHAPES)
    assert np.array_equal(found.tensors["a"], arrays["a"])
    assert found.tensors["scalar"] == 1


def test_the_precision_is_that_of_the_numbers_and_not_of_the_dtype(tmp_path):
    arrays = {"layers.0.b": tensors()["layers.0.b"].astype(ml_dtypes.bfloat16).astype(np.float64)}
    assert read_candidate(write_npy(tmp_path, arrays), SHAPES).stored["layers.0.b"] == "bfloat16"


def test_neighbouring_axes_may_be_joined_or_split(tmp_path):
    arrays = {"layers.0.b": np.arange(16.0).reshape(4, 4), "a": np.arange(6.0)}
    found = read_candidate(write_npy(tmp_path, arrays), SHAPES)
    assert np.array_equal(found.tensors["layers.0.b"], np.arange(16.0).reshape(2, 2, 4))
    assert np.array_equal(found.tensors["a"], np.arange(6.0).reshape(2, 3))


@given(st.lists(st.integers(1, 5), max_size=5), st.data())
def test_a_regrouped_shape_is_accepted_and_a_transposed_one_is_not(shape, data):
    if len(shape) > 1:
        place = data.draw(st.integers(0, len(shape) - 2))
        joined = [*shape[:place], shape[place] * shape[place + 1], *shape[place + 2 :]]
        assert regroups(tuple(joined), tuple(shape))
        assert regroups(tuple(shape), tuple(joined))
    assert regroups((*shape, 1), tuple(shape))
    assert not regroups((2, 5, 3), (2, 3, 5))
    assert not regroups((2, 3), (2, 4))


def test_another_shape_is_kept_apart(tmp_path):
    found = read_candidate(write_npy(tmp_path, {"a": np.ones((3, 2)), "scalar": np.ones(())}), SHAPES)
    assert found.misshapen["a"].shape == (3, 2)
    assert "a" not in found.tensors


def test_names_that_the_key_does_not_have(tmp_path):
    found = read_candidate(write_npy(tmp_path, {"a": np.ones((2, 3)), "other": np.ones(3)}), SHAPES)
    assert found.unknown == ["other"]
    with pytest.raises(CandidateError, match=r"no tensor of the key's names; found c; the key has such as"):
        read_candidate(write_npz(tmp_path, {"c": np.ones(2)}), SHAPES)


def test_nan_is_read(tmp_path):
    found = read_candidate(write_npz(tmp_path, {"a": np.full((2, 3), np.nan), "scalar": np.array(np.inf)}), SHAPES)
    assert np.isnan(found.tensors["a"]).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p / "nothing", "no such file or folder"),
        (lambda p: p, "holds no .npy file, and no shapes.json"),
        (lambda p: _bytes(p / "x.safetensors", b"junk"), "not a safetensors file"),
        (lambda p: _bytes(p / "x.pt", b"PK\x03\x04 pickle"), "a zip or PyTorch file of which the end is missing"),
        (lambda p: _bytes(p / "x.safetensors", b""), "is empty, a download that did not begin"),
        (lambda p: _bytes(p / "x.safetensors", (2**62).to_bytes(8, "little") + b"{}"), "header claims"),
        (lambda p: _bytes(p / "x.safetensors", _header({"a": [0, 2**60]})), "cut short or damaged"),
        (lambda p: _bytes(p / "x.safetensors", _header({"a": [0, 24], "layers.0.b": [0, 24]})), "cut short or damaged"),
        (lambda p: _bytes(p / "x.npz", b"PK\x03\x04"), "no .npz file, or a damaged one"),
        (lambda p: _bytes(p / "shapes.json", b"[1]").parent, "expected {"),
        (lambda p: _bytes(p / "shapes.json", b"[" * 100000).parent, "cannot be read as JSON"),
    ],
)
def test_the_error_for_a_file_that_is_not_a_dump(tmp_path, make, message):
    path = make(tmp_path)
    with pytest.raises(CandidateError) as error:
        read_candidate(path, SHAPES)
    assert message in str(error.value)
    assert str(tmp_path) in str(error.value)


def _bytes(path, data):
    path.write_bytes(data)
    return path


def _header(places):
    header = {name: {"dtype": "F32", "shape": [2, 3], "data_offsets": place} for name, place in places.items()}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + b"\0" * 24


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda f: (f / "a.bin").write_bytes(b"123"),
            r"a\.bin: 3 bytes, expected 24, as shapes.json lists \[2, 3\] of float32",
        ),
        (lambda f: (f / "a.bin").unlink(), "No such file"),
        (lambda f: write_raw(f, {}, a={"shape": [2, 3], "dtype": "object"}), "has dtype 'object', expected one of"),
        (lambda f: write_raw(f, {}, a={"shape": [2, -3], "dtype": "float32"}), "expected integers"),
        (lambda f: write_raw(f, {}, a={"shape": [2**40, 2**40], "dtype": "float32"}), "has shape"),
    ],
)
def test_the_other_tensors_are_read_beside_a_damaged_raw_file(tmp_path, damage, message):
    write_raw(tmp_path, tensors())
    damage(tmp_path)
    listed = json.loads((tmp_path / "shapes.json").read_text())
    rest = {name: {"shape": list(array.shape), "dtype": "float32"} for name, array in tensors().items()}
    (tmp_path / "shapes.json").write_text(json.dumps(rest | listed))
    found = read_candidate(tmp_path, SHAPES)
    assert list(found.unreadable) == ["a"]
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(found.unreadable["a"])
    assert len(found.tensors) == 3


@pytest.mark.parametrize("entry", [5, {"shape": 3}, {"shape": [2, 3]}, None])
def test_the_other_tensors_are_read_beside_a_bad_entry_of_the_list(tmp_path, entry):
    write_raw(tmp_path, tensors(), a=entry)
    found = read_candidate(tmp_path, SHAPES)
    assert list(found.unreadable) == ["a"]
    assert "shapes.json: expected {" in found.unreadable["a"]


def test_a_prefix_of_all_names_is_reported(tmp_path):
    write_npy(tmp_path, {"model.layers.0.b": np.ones((2, 2, 4))})
    with pytest.raises(CandidateError, match=r'do they all begin with "model\."'):
        read_candidate(tmp_path, SHAPES)


def test_a_name_cannot_lead_out_of_the_folder(tmp_path):
    (tmp_path / "secret.bin").write_bytes(b"\0" * 24)
    inside = tmp_path / "dump"
    inside.mkdir()
    write_raw(inside, {"scalar": np.ones((), "float32")}, **{"../secret": {"shape": [2, 3], "dtype": "float32"}})
    found = read_candidate(inside, SHAPES | {"../secret": (2, 3)})
    assert "outside the folder" in found.unreadable["../secret"]


def _npy(header):
    stream = io.BytesIO()
    stream.write(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    return stream.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"junk",
        b"\x93NUMPY\x01\x00\xff\xff",
        b"\x93NUMPY\x09\x00\x00\x00",
        _npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}\n") + b"\0" * 23,
        _npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}\n") + b"\0" * 25,
        _npy(b"{'descr': '|O', 'fortran_order': False, 'shape': (2, 3)}\n") + b"\0" * 48,
        _npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999, 3)}\n"),
        _npy(b"__import__('os').system('false')\n"),
        _npy(b"(" * 5000),
        _npy(b"[" * 300),
        _npy(b'"""\n'),
        _npy(b"-" * 9000 + b"1"),
        _npy(b"  1\n 2\n"),
        _npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (True, 6)}\n") + b"\0" * 24,
        _npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': " + b"(1," * 900 + b")" * 900 + b"}\n"),
        _npy(b"{'descr': '<M8[s]', 'fortran_order': False, 'shape': (2, 3)}\n") + b"\0" * 48,
        _npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}\n").replace(b"Y\x01", b"Y\x04") + b"\0" * 24,
    ],
)
def test_the_other_tensors_are_read_beside_a_damaged_npy_file(tmp_path, data):
    write_npy(tmp_path, {"scalar": np.ones(())})
    (tmp_path / "a.npy").write_bytes(data)
    found = read_candidate(tmp_path, SHAPES)
    assert list(found.unreadable) == ["a"]
    assert found.tensors["scalar"] == 1


def test_an_npz_member_longer_than_its_header_is_not_unpacked(tmp_path):
    """Its header has the key's shape, and a quarter of a gigabyte of zeros follows."""
    path = tmp_path / "dump.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.npy", "w") as member:
        member.write(_npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}\n"))
        for _ in range(64):
            member.write(bytes(2**22))
    tracemalloc.start()
    found = read_candidate(path, SHAPES)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "a" in found.unreadable
    assert peak < 2**26


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_that_inflates_without_a_bound_is_not_read(tmp_path, compression):
    path = write_npz(tmp_path, {"scalar": np.ones(())})
    with zipfile.ZipFile(path, "a", compression) as archive:
        archive.writestr("a.npy", _npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)}\n") + bytes(24))
    found = read_candidate(path, SHAPES)
    assert "in a way that NumPy does not write" in found.unreadable["a"]
    assert found.tensors["scalar"] == 1


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_is_there_twice_is_not_read(tmp_path):
    path = write_npz(tmp_path, {"a": np.ones((2, 3)), "scalar": np.ones(())})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("a.npy", archive.read("a.npy"))
    found = read_candidate(path, SHAPES)
    assert "is there 2 times" in found.unreadable["a"]
    write_npy(tmp_path, {"a": np.ones((2, 3))})
    write_raw(tmp_path, {"a": np.ones((2, 3)), "scalar": np.ones(())})
    found = read_candidate(tmp_path, SHAPES)
    assert "shapes.json and a .npy file" in found.unreadable["a"]
    assert found.tensors["scalar"] == 1


def test_a_directory_that_claims_gigabytes_is_not_read(tmp_path):
    """The directory of the zip file is said to be as long as the file, which is sparse."""
    path, size = tmp_path / "dump.npz", 2**31
    with open(path, "wb") as file:
        file.truncate(size)
        file.seek(size)
        file.write(struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, size, 0, 0))
    tracemalloc.start()
    with pytest.raises(CandidateError, match=r"dump\.npz: no \.npz file, or a damaged one \(its directory has"):
        read_candidate(path, SHAPES)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**24


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_the_other_tensors_are_read_beside_what_is_no_file(tmp_path):
    write_npy(tmp_path, {"scalar": np.ones(())})
    os.mkfifo(tmp_path / "a.npy")
    os.symlink("/dev/zero", tmp_path / "b.npy")
    os.symlink("nowhere", tmp_path / "c.npy")
    write_npy(tmp_path, {"d.npy/e": np.ones(())})
    os.symlink(tmp_path, tmp_path / "f")  # a link to a folder is not followed
    with open(tmp_path / "g.npy", "wb") as file:
        file.truncate(2**33)
    found = read_candidate(tmp_path, SHAPES | dict.fromkeys(["b", "c", "d", "d.npy/e", "g"], (3,)))
    assert "is a pipe" in found.unreadable["a"]
    assert "is a pipe, a device" in found.unreadable["b"]
    assert "No such file" in found.unreadable["c"]
    assert "is a folder" in found.unreadable["d"]
    assert "no .npy file" in found.unreadable["g"]
    assert {*found.tensors, *found.misshapen} == {"scalar", "d.npy/e"}
    os.mkfifo(tmp_path / "shapes.json")
    with pytest.raises(CandidateError, match=r"shapes\.json: is a pipe"):
        read_candidate(tmp_path, SHAPES)


@pytest.mark.parametrize("path", ["a\0b", "x" * 5000, "x\ud800"])
def test_a_name_that_no_file_can_have(tmp_path, path):
    with pytest.raises(CandidateError, match="no such file or folder") as error:
        read_candidate(tmp_path / path, SHAPES)
    assert len(str(error.value)) < 500
    folder = write_raw(tmp_path, {"scalar": np.ones(())}, **{path: {"shape": [2, 3], "dtype": "float32"}})
    found = read_candidate(folder, SHAPES | {path: (2, 3)})
    assert len(found.unreadable[path]) < 500
    assert found.tensors["scalar"] == 1


def test_the_number_of_tensors_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(read_dump, "MOST_TENSORS", 3)
    for write in WRITERS:
        folder = tmp_path / write.__name__
        folder.mkdir()
        with pytest.raises(CandidateError, match="expected at most 3") as error:
            read_candidate(write(folder, tensors()), SHAPES)
        assert str(folder) in str(error.value)


def test_messages_are_short(tmp_path):
    many = {f"{number}{'x' * 500}": {"shape": [2], "dtype": "float32"} for number in range(2000)}
    write_raw(tmp_path, {}, **many)
    with pytest.raises(CandidateError, match="no tensor of the key's names") as error:
        read_candidate(tmp_path, SHAPES)
    assert len(str(error.value)) < 2000
    write_raw(tmp_path, {}, a={"shape": [2] * 100_000, "dtype": "float32"}, scalar={"x" * 10_000: 1})
    found = read_candidate(tmp_path, SHAPES)
    assert all(len(text) < 500 for text in found.unreadable.values())


def test_names_of_many_letters_are_not_searched_for_a_prefix(tmp_path):
    path = write_safetensors(tmp_path, {"." * 10**6: np.ones(1), "a" * 150 + "./layers.0.b": np.ones(1)})
    start = time.perf_counter()
    with pytest.raises(CandidateError, match="do they all begin with") as error:
        read_candidate(path, SHAPES)
    assert time.perf_counter() - start < 2
    assert len(str(error.value)) < 1000


def test_a_shape_of_many_axes(tmp_path):
    path = write_safetensors(tmp_path, {"a": np.ones(100), "scalar": np.ones(())})
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header["a"]["shape"] += [1] * 50_000
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])
    found = read_candidate(path, SHAPES)
    assert len(found.unreadable["a"]) < 400
    assert found.tensors["scalar"] == 1


def test_only_the_needed_parts_of_a_file_of_two_gigabytes_are_read(tmp_path):
    """A sparse file: two tensors of the key, and a huge one that the key does not have."""
    huge = 2 * 2**30
    header = {
        "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "huge": {"dtype": "F32", "shape": [huge // 4], "data_offsets": [24, 24 + huge]},
        "layers.0.b": {"dtype": "F32", "shape": [2**20], "data_offsets": [24 + huge, 24 + huge + 2**22]},
    }
    text = json.dumps(header).encode()
    path = tmp_path / "dump.safetensors"
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + 24 + huge + 2**22)
    tracemalloc.start()
    found = read_candidate(path, SHAPES)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.tensors["a"].shape == (2, 3)
    assert found.unknown == ["huge"]
    assert "has shape 1048576" in found.unreadable["layers.0.b"]
    assert peak < 2**24
