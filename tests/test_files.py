"""Reading within bounds: what is no regular file, or too large, or ends too early, is refused with one class."""

import os
import sys

import pytest

from npswin.files import (
    FileError,
    listed,
    message_of,
    open_regular,
    read_bytes,
    read_exactly,
    read_json,
    shortened,
    temporary_paths,
)


class SomeFileError(FileError):
    """Of one kind of file."""


def test_contents(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    assert read_bytes(tmp_path / "a", SomeFileError, at_most=5) == b"12345"
    os.symlink(tmp_path / "a", tmp_path / "link")
    assert read_bytes(str(tmp_path / "link"), SomeFileError, at_most=5) == b"12345"


def test_too_large_is_not_read(tmp_path):
    with open(tmp_path / "a", "wb") as file:
        file.truncate(2**40)  # takes no space
    with pytest.raises(SomeFileError, match=rf"a: has {2**40} bytes, expected at most 100$"):
        read_bytes(tmp_path / "a", SomeFileError, at_most=100)


@pytest.mark.parametrize(
    ("path", "system", "message"),
    [
        ("absent", FileNotFoundError, r"absent: No such file or directory$"),
        (".", IsADirectoryError, r"is a folder, expected a file$"),
        ("file/inside", NotADirectoryError, r"inside: Not a directory$"),
        ("x" * 5000, OSError, r"\.\.\. x+: File name too long$"),
    ],
)
def test_the_systems_errors_are_of_both_classes(tmp_path, path, system, message):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SomeFileError, match=message) as caught:
        read_bytes(tmp_path / path, SomeFileError, at_most=5)
    assert isinstance(caught.value, system)
    assert caught.value.errno
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(28, "No space left on device", "runs/a"), "runs/a: No space left on device"),
        (OSError(30, "Read-only file system"), "Read-only file system"),
        (OSError("no answer"), "no answer"),
        (ValueError("size: got 0"), "size: got 0"),
    ],
)
def test_a_message_has_no_number_of_the_system(error, message):
    assert message_of(error) == message


def test_a_null_byte_in_the_name():
    with pytest.raises(SomeFileError, match=r"a\\x00b': no file can have such a name"):
        read_bytes("a\0b", SomeFileError, at_most=5)


@pytest.mark.skipif(os.name != "posix", reason="has no such files")
def test_pipes_and_devices_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(SomeFileError, match="is a pipe, a device or a socket, expected a regular file"):
            open_regular(path, SomeFileError)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a file that can be opened and not read")
def test_a_file_that_cannot_be_read():
    with open_regular("/proc/self/mem", SomeFileError) as file, pytest.raises(SomeFileError, match="mem: ") as caught:
        read_exactly(file, 10, "/proc/self/mem", SomeFileError)
    assert isinstance(caught.value, OSError)


def test_a_file_that_ends_early(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    with (
        open_regular(tmp_path / "a", SomeFileError) as file,
        pytest.raises(SomeFileError, match=r"a: ends 3 bytes too early$"),
    ):
        read_exactly(file, 8, tmp_path / "a", SomeFileError)


def test_messages_are_short():
    assert shortened("abc") == "abc"
    assert len(shortened("x" * 10**6)) < 250
    assert listed(["a", "b"]) == "a, b"
    assert listed(map(str, range(100)), at_most=3) == "0, 1, 2, and 97 more"


def test_unfinished_files_of_any_process(tmp_path):
    for name in (".a.1-2.partial", ".a.3-4.partial", ".b.1-2.partial", "a.partial", ".a"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in temporary_paths(tmp_path / "a")] == [".a.1-2.partial", ".a.3-4.partial"]


def test_json(tmp_path):
    (tmp_path / "a").write_text('{"ä": [1, 0.5, null], "b": {}}', encoding="utf-8")
    assert read_json(tmp_path / "a", SomeFileError, at_most=100) == {"ä": [1, 0.5, None], "b": {}}


def test_json_with_a_byte_order_mark(tmp_path):
    (tmp_path / "a").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(tmp_path / "a", SomeFileError, at_most=100) == {"a": 1}


def test_json_with_numbers_that_are_not_finite(tmp_path):
    (tmp_path / "a").write_text("[NaN, -Infinity, 1e999]")
    found = read_json(tmp_path / "a", SomeFileError, at_most=100, finite=False)
    assert [str(number) for number in found] == ["nan", "-inf", "inf"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"{", "Expecting property name"),
        (b"", "Expecting value"),
        (b"\xff\xfe", "can't decode byte"),
        (b"[" * 100_000, "recursion"),
        (b"9" * 5000, "integer string conversion"),
        (b'{"a": {"b": 1, "b": 2}}', "'b' is there twice"),
        (b"[NaN]", "NaN is no finite number"),
        (b"[-Infinity]", "-Infinity is no finite number"),
        (b"1e999", "1e999 is no finite number"),
        (b"[0." + b"1" * 150_000 + b"e400]", "is no finite number"),
        (b'{"%s": 1, "%s": 2}' % (b"x" * 50_000, b"x" * 50_000), "is there twice"),
    ],
)
def test_what_is_not_json(tmp_path, text, message):
    (tmp_path / "a").write_bytes(text)
    with pytest.raises(SomeFileError, match=message) as error:
        read_json(tmp_path / "a", SomeFileError, at_most=200_000)
    assert str(tmp_path / "a") in str(error.value)
    assert len(str(error.value)) < 500
