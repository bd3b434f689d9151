"""Weight files: round trips, clear errors for broken files, and no leftovers of failed writes."""

import contextlib
import errno
import hashlib
import io
import json
import os
import pickle
import shlex
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from npswin.cli import main as npswin_command
from npswin.files import write_atomically
from npswin.weights import TensorFile, WeightFileError, load_tensors, save_tensors

TENSORS = {
    "a.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.float64(1) / np.arange(1, 4),
    "count": np.array(7, dtype=np.int64),
    "empty": np.zeros((0, 3), np.float32),
    "flags": np.array([True, False]),
}


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """The bytes of a valid file."""
    path = tmp_path_factory.mktemp("weights") / "good.safetensors"
    save_tensors(path, TENSORS, {"config": "{}", "epoch": "3"})
    return path.read_bytes()


def with_header(header, data=b""):
    """The bytes of a file with this header, valid or not."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def refused(folder, content, name="broken.safetensors"):
    """The error message for a file of these bytes."""
    path = folder / name
    path.write_bytes(content)
    with pytest.raises(WeightFileError) as caught:
        load_tensors(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


class TestRoundTrip:
    def test_all_dtypes_and_metadata(self, tmp_path):
        path = tmp_path / "w.safetensors"
        save_tensors(path, TENSORS, {"config": '{"a": "é"}'})
        tensors, metadata = load_tensors(path)
        assert metadata == {"config": '{"a": "é"}'}
        assert list(tensors) == sorted(TENSORS)
        for name, wanted in TENSORS.items():
            assert tensors[name].dtype == wanted.dtype
            np.testing.assert_array_equal(tensors[name], wanted)
            assert tensors[name].flags.writeable
        assert os.listdir(tmp_path) == ["w.safetensors"]

    @given(
        st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(lambda name: name != "__metadata__"),
            st.tuples(
                st.sampled_from(["f2", "f4", "f8", "i1", "i2", "i8", "u1", "u4", "?", ">f4"]),
                st.lists(st.integers(0, 4), max_size=3),
            ),
            max_size=5,
        ),
        st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"]))
        ),
    )
    def test_of_any_shape_and_dtype_through_the_library_too(self, tmp_path_factory, kinds, metadata):
        safetensors = pytest.importorskip("safetensors")
        path = tmp_path_factory.mktemp("any") / "w.safetensors"
        rng = np.random.default_rng(len(kinds))
        saved = {name: (10 * rng.standard_normal(shape)).astype(dtype) for name, (dtype, shape) in kinds.items()}
        save_tensors(path, saved, metadata)
        loaded, found = load_tensors(path)
        assert found == metadata
        with safetensors.safe_open(path, "np") as library:
            assert set(library.keys()) == set(saved) == set(loaded)
            for name, tensor in saved.items():
                np.testing.assert_array_equal(library.get_tensor(name), tensor)
                np.testing.assert_array_equal(loaded[name], tensor)

    def test_arrays_need_not_be_contiguous(self, tmp_path):
        path = tmp_path / "w.safetensors"
        matrix = np.arange(12.0).reshape(3, 4)
        save_tensors(path, {"transposed": matrix.T, "stepped": matrix[::-1, ::2]})
        tensors, metadata = load_tensors(path)
        np.testing.assert_array_equal(tensors["transposed"], matrix.T)
        np.testing.assert_array_equal(tensors["stepped"], matrix[::-1, ::2])
        assert metadata == {}

    def test_same_content_same_bytes(self, tmp_path):
        for name, order in (("1", TENSORS), ("2", dict(reversed(TENSORS.items())))):
            save_tensors(tmp_path / name, order, dict.fromkeys("abc" if name == "1" else "cab", "x"))
        assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()

    def test_half_precisions_become_float32(self, tmp_path):
        values = [1.0, -2.5, 0.0, 3.140625, float("inf")]  # each exact in bfloat16
        upper = (np.array(values, np.float32).view(np.uint32) >> 16).astype("<u2")
        header = {
            "brain": {"dtype": "BF16", "shape": [1, 5], "data_offsets": [0, 10]},
            "half": {"dtype": "F16", "shape": [5], "data_offsets": [10, 20]},
        }
        path = tmp_path / "half.safetensors"
        path.write_bytes(with_header(header, upper.tobytes() + np.array(values, "<f2").tobytes()))
        tensors, _ = load_tensors(path)
        assert tensors["brain"].dtype == tensors["half"].dtype == np.float32
        np.testing.assert_array_equal(tensors["brain"], [values])
        np.testing.assert_array_equal(tensors["half"], np.array(values, np.float16))


class TestTensorFile:
    def test_codes_is_deprecated_and_works(self, tmp_path):
        save_tensors(tmp_path / "w.safetensors", TENSORS)
        file = TensorFile(tmp_path / "w.safetensors")
        with pytest.warns(DeprecationWarning, match="TensorFile.codes was renamed to dtype_codes"):
            assert file.codes == file.dtype_codes
        assert file.dtype_codes == {"a.weight": "F32", "b": "F64", "count": "I64", "empty": "F32", "flags": "BOOL"}


class TestChecksum:
    @given(st.data())
    def test_a_change_anywhere_is_found(self, tmp_path_factory, content, data):
        damaged = bytearray(content)
        start, length = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(1, 100))
        damaged[start : start + length] = bytes(length) if data.draw(st.booleans()) else b"\x01" * length
        damaged[start] = content[start] ^ 1 << data.draw(st.integers(0, 7))
        refused(tmp_path_factory.mktemp("damaged"), bytes(damaged[: len(content)]))

    @pytest.mark.parametrize("bit", range(8))
    def test_a_flipped_bit_in_its_name_is_found(self, tmp_path, content, bit):
        start = content.index(b"npswin_sha256")
        for index in range(start, start + 13):
            damaged = bytearray(content)
            damaged[index] ^= 1 << bit
            refused(tmp_path, bytes(damaged))

    def test_it_is_not_part_of_the_metadata(self, tmp_path):
        save_tensors(tmp_path / "1", TENSORS, {"epoch": "3"})
        tensors, metadata = load_tensors(tmp_path / "1")
        assert metadata == {"epoch": "3"}
        save_tensors(tmp_path / "2", tensors, metadata)
        assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()
        assert TensorFile(tmp_path / "1").checksum

    def test_it_is_that_of_the_file_with_zeros_in_its_place(self, content):
        checksum = content[content.index(b"npswin_sha256") + 16 :][:64]
        assert hashlib.sha256(content.replace(checksum, b"0" * 64)).hexdigest() == checksum.decode()

    def test_text_that_looks_like_one(self, tmp_path):
        metadata = {"a": f'"npswin_sha256":"{"0" * 64}"', "npswin_sha256": "mine"}
        save_tensors(tmp_path / "w", {f'"npswin_sha256":"{"0" * 64}"': np.ones(2)}, metadata)
        assert load_tensors(tmp_path / "w")[1] == {"a": metadata["a"]}

    def test_files_of_other_programs_have_none(self, tmp_path):
        library = pytest.importorskip("safetensors.numpy")
        library.save_file({"a": np.ones(2)}, tmp_path / "w", {"b": "c"})
        file = TensorFile(tmp_path / "w")
        assert file.checksum is None
        assert file.metadata == {"b": "c"}


class TestBounds:
    def test_more_names_than_any_model_has(self, tmp_path):
        header = {str(i): {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(2**16 + 1)}
        assert "names 65537 tensors, expected at most 65536" in refused(tmp_path, with_header(header))

    def test_messages_are_short(self, tmp_path):
        entry = {"dtype": "F8_E4M3", "shape": [1] * 1000, "data_offsets": [0, 1]}
        for header in ({"x" * 10**6: entry}, {"a": {**entry, "dtype": "F" * 10**6}}):
            assert len(refused(tmp_path, with_header(header, b"\0"))) < 1000

    def test_a_tensor_is_read_when_it_is_asked_for(self, tmp_path):
        """A file of 8 GiB that takes no space: only its last tensor is read."""
        size = 2**33
        header = {
            "large": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]},
            "small": {"dtype": "F32", "shape": [2], "data_offsets": [size, size + 8]},
        }
        with open(tmp_path / "w", "wb") as file:
            file.write(with_header(header))
            file.truncate(file.tell() + size + 8)
        assert TensorFile(tmp_path / "w")["small"].tolist() == [0, 0]

    def test_a_file_that_shrinks(self, tmp_path, content):
        (tmp_path / "w").write_bytes(content)
        file = TensorFile(tmp_path / "w")
        (tmp_path / "w").write_bytes(content[:-20])
        with pytest.raises(WeightFileError, match=r"'flags' cannot have shape \(2,\) \(the file has changed\)"):
            file["flags"]
        (tmp_path / "w").unlink()
        with pytest.raises(WeightFileError, match="No such file"):
            file["flags"]

    @pytest.mark.skipif(os.name != "posix", reason="has no such files")
    def test_pipes_and_devices(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        for path in (tmp_path / "pipe", "/dev/zero"):
            with pytest.raises(WeightFileError, match="expected a regular file"):
                TensorFile(path)

    @pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on memory")
    def test_too_little_memory(self, tmp_path):
        """The limit is on the address space: 1 GiB more than the process has."""
        script = (
            "import resource, sys, npswin.weights as w\n"
            "import safetensors\n"
            "file = w.TensorFile(sys.argv[1])\n"
            "size = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize() + 2**30\n"
            "resource.setrlimit(resource.RLIMIT_AS, (size, size))\n"
            "try: file['large']\n"
            "except w.WeightFileError as error: print(error)\n"
        )
        header = {"large": {"dtype": "F32", "shape": [2**31], "data_offsets": [0, 2**33]}}
        with open(tmp_path / "w", "wb") as file:
            file.write(with_header(header))
            file.truncate(file.tell() + 2**33)
        command = [sys.executable, "-c", script, str(tmp_path / "w")]
        ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=os.getcwd())
        assert f"tensor 'large': too little memory for its {2**31} numbers" in ran.stdout


class TestBrokenFiles:
    @given(st.data())
    def test_cut_short_anywhere(self, tmp_path_factory, content, data):
        length = data.draw(st.integers(0, len(content) - 1))
        message = refused(tmp_path_factory.mktemp("cut"), content[:length])
        if length > 8:
            assert "cut short or damaged" in message

    @given(st.data())
    def test_a_damaged_header_is_refused_or_read_within_the_files_size(self, tmp_path_factory, content, data):
        header_end = 8 + int.from_bytes(content[:8], "little")
        damaged = bytearray(content)
        for index in data.draw(st.lists(st.integers(0, header_end - 1), min_size=1, max_size=4)):
            damaged[index] = data.draw(st.integers(0, 255))
        path = tmp_path_factory.mktemp("damaged") / "w.safetensors"
        path.write_bytes(damaged)
        with contextlib.suppress(WeightFileError):  # any other error fails the test
            tensors, _ = load_tensors(path)
            assert sum(t.nbytes for t in tensors.values()) <= 2 * (len(content) - header_end)

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"\x00" * 7,
            b"\xff" * 8 + b"{}",
            (2**40).to_bytes(8, "little") + b"{}",
            with_header(b"[]"),
            with_header(b"{"),
            with_header(b'{"a": \xff}'),
            with_header({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, b"\0" * 4),
            with_header({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, b"\0" * 4),
            with_header({"a": {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 0]}}),
            with_header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}, b"\0" * 4),
            with_header({"a": {"dtype": "F32", "shape": [0, 2**63], "data_offsets": [0, 0]}}),
            with_header({"a": {"dtype": "F32", "shape": [1] * 80, "data_offsets": [0, 4]}}, b"\0" * 4),
            with_header({"a": {"dtype": "F8_E4M3", "shape": [1], "data_offsets": [0, 1]}}, b"\0"),
            with_header({"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 1]}}, b"\0"),
            with_header({"__metadata__": {"a": 1}}),
            with_header(b'{"a":' * 5000),
            with_header(
                {
                    "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
                    "b": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
                },
                b"\0" * 4,
            ),
            with_header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, b"\0" * 9),
        ],
    )
    def test_malicious_headers(self, tmp_path, content):
        refused(tmp_path, content)

    def test_a_dtype_that_numpy_lacks_is_named(self, tmp_path):
        header = {"a": {"dtype": "F8_E4M3", "shape": [1], "data_offsets": [0, 1]}}
        message = refused(tmp_path, with_header(header, b"\0"))
        assert "'a'" in message
        assert "F8_E4M3" in message

    def test_some_other_file(self, tmp_path):
        assert "not a safetensors file" in refused(tmp_path, b"Once upon a time there was a text file.")

    def test_a_missing_file(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"absent\.safetensors"):
            load_tensors(tmp_path / "absent.safetensors")

    def test_a_name_longer_than_any_file_has(self, tmp_path):
        with pytest.raises(WeightFileError, match="File name too long"):
            load_tensors(tmp_path / ("a" * 5000))

    def test_a_folder(self, tmp_path):
        with pytest.raises(OSError, match=tmp_path.name):
            load_tensors(tmp_path)


class Unsafe:
    """Unpickling it creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


class TestPickles:
    def test_are_never_read(self, tmp_path):
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            pickled = pickle.dumps(Unsafe(tmp_path / "ran"), protocol)
            message = refused(tmp_path, pickled, f"swin{protocol}.pth")
            assert "never read" in message
            assert f"npswin convert {tmp_path / f'swin{protocol}.pth'}" in message
        assert not (tmp_path / "ran").exists()

    def test_torch_archives_are_recognized_under_any_name(self, tmp_path):
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("archive/data.pkl", pickle.dumps({}))
        assert "PyTorch pickle" in refused(tmp_path, archive.getvalue(), "weights")

    def test_a_safetensors_file_may_be_called_bin(self, tmp_path, content):
        save_tensors(tmp_path / "w.bin", TENSORS)
        assert set(load_tensors(tmp_path / "w.bin")[0]) == set(TENSORS)
        assert "cut short or damaged" in refused(tmp_path, content[:-1], "w.bin")

    def test_the_command_in_the_message_converts(self, tmp_path):
        torch = pytest.importorskip("torch")
        path = tmp_path / "it's a swin.pth"
        torch.save({"model": {"head.weight": torch.arange(6.0).reshape(2, 3).T}}, path)
        with pytest.raises(WeightFileError) as caught:
            load_tensors(path)
        command = str(caught.value).split("`")[1]
        program, *arguments = shlex.split(command)
        assert program == "npswin"
        assert npswin_command(arguments) == 0
        tensors, _ = load_tensors(path.with_suffix(".safetensors"))
        np.testing.assert_array_equal(tensors["head.weight"], np.arange(6.0).reshape(2, 3).T)


class TestFailedWrites:
    @pytest.fixture
    def path(self, tmp_path):
        """An existing file; afterwards it must be unchanged, and the only one in the folder."""
        path = tmp_path / "w.safetensors"
        save_tensors(path, {"old": np.ones(3)})
        before = path.read_bytes()
        yield path
        assert os.listdir(tmp_path) == [path.name]
        assert path.read_bytes() == before

    @pytest.mark.parametrize("step", ["fsync", "replace"])
    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO])
    def test_by_the_system(self, path, monkeypatch, step, code):
        def fail(*_):
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(os, step, fail)
        with pytest.raises(OSError, match=r"cannot write the file: .*w\.safetensors") as caught:
            save_tensors(path, TENSORS)
        assert caught.value.errno == code
        assert caught.value.filename == str(path)

    @pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, ZeroDivisionError])
    def test_by_anything_else(self, path, error):
        def write(file):
            file.write(b"half")
            raise error

        with pytest.raises(error):
            write_atomically(path, write)

    @pytest.mark.skipif(os.name != "posix", reason="needs a limit on file sizes")
    def test_in_the_middle_of_the_data(self, path):
        script = (
            "import resource, sys, numpy, npswin.weights\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
            "try: npswin.weights.save_tensors(sys.argv[1], {'big': numpy.ones(10000)})\n"
            "except OSError as error: print(error)\n"
        )
        ran = subprocess.run(
            [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True, cwd=os.getcwd()
        )
        assert "cannot write the file" in ran.stdout
        assert str(path) in ran.stdout

    @pytest.mark.parametrize(
        "tensors",
        [
            {"text": np.array(["a"])},
            {"objects": np.array([None])},
            {"complex": np.ones(2, complex)},
            {"__metadata__": np.ones(2)},
        ],
        ids=lambda tensors: next(iter(tensors)),
    )
    def test_by_a_tensor_that_does_not_fit(self, path, tensors):
        with pytest.raises(ValueError, match=f"tensors: cannot save '{next(iter(tensors))}'"):
            save_tensors(path, tensors)

    def test_by_metadata_that_is_no_text(self, path):
        with pytest.raises(ValueError, match="metadata: got 'epoch': 3"):
            save_tensors(path, TENSORS, {"epoch": 3})


@pytest.mark.parametrize(
    ("tensors", "metadata", "message"),
    [
        ({str(i): np.zeros(0) for i in range(2**16)}, {}, "got 65536 tensors"),
        ({}, {"a": "x" * 2**24}, "16777"),
        ({"\ud800": np.ones(1)}, {}, "not Unicode"),
        ({}, {"a": "\ud800"}, "not Unicode"),
    ],
    ids=["many", "long", "name", "text"],
)
def test_what_could_not_be_read_is_not_written(tmp_path, tensors, metadata, message):
    with pytest.raises(ValueError, match=f"^tensors, metadata: .*{message}"):
        save_tensors(tmp_path / "w", tensors, metadata)
    assert not (tmp_path / "w").exists()


def test_no_such_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"cannot write the file: .*w\.safetensors"):
        save_tensors(tmp_path / "absent" / "w.safetensors", TENSORS)


def test_the_target_is_a_folder(tmp_path):
    (tmp_path / "w").mkdir()
    for path in (tmp_path / "w", ".", "/"):
        with pytest.raises(IsADirectoryError, match="cannot write the file"):
            save_tensors(path, TENSORS)
    assert os.listdir(tmp_path) == ["w"]


@pytest.mark.skipif(os.name != "posix", reason="has no such files")
class TestWhatIsNoRegularFile:
    def test_a_link_stays_and_its_file_is_written(self, tmp_path):
        (tmp_path / "elsewhere").mkdir()
        target, link = tmp_path / "elsewhere" / "w", tmp_path / "link"
        for target_exists in (False, True):
            if not target_exists:
                link.symlink_to(Path("elsewhere", "w"))
            save_tensors(link, TENSORS, {"there": str(target_exists)})
            assert link.is_symlink()
            assert load_tensors(target)[1] == {"there": str(target_exists)}
            assert os.listdir(tmp_path / "elsewhere") == ["w"]

    def test_a_pipe_and_a_device_are_not_replaced(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "link").symlink_to(os.devnull)
        for name in ("pipe", "link"):
            with pytest.raises(FileExistsError, match=f"cannot write the file: is a pipe, a device .*{name}"):
                save_tensors(tmp_path / name, TENSORS)
        assert stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode)
        assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
        assert sorted(os.listdir(tmp_path)) == ["link", "pipe"]

    def test_links_in_a_circle(self, tmp_path):
        (tmp_path / "a").symlink_to("b")
        (tmp_path / "b").symlink_to("a")
        with pytest.raises(OSError, match="cannot write the file"):
            save_tensors(tmp_path / "a", TENSORS)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(PermissionError, match="cannot write the file"):
            save_tensors(tmp_path / "w.safetensors", TENSORS)
    finally:
        tmp_path.chmod(0o700)
    assert os.listdir(tmp_path) == []
