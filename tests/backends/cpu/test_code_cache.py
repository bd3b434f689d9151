"""Compiled code on disk: a damaged, foreign or missing file, or a disk that takes none, stops nothing."""

import errno
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from npswin.backends.cpu.machine import code_cache
from npswin.backends.cpu.machine.code_cache import CodeFiles

KEY, DATA = ("signature", 1), {"code": b"\x90" * 100}


@pytest.fixture(autouse=True)
def nothing_reported(monkeypatch):
    monkeypatch.setattr(code_cache, "_reported", set())


@pytest.fixture
def files(tmp_path):
    files = CodeFiles(str(tmp_path), "function", "stamp")
    files.save(KEY, DATA)
    return files


def test_code_is_loaded_as_it_was_saved(files, capsys):
    assert files.load(KEY) == DATA
    assert files.load(("signature", 2)) is None
    assert capsys.readouterr().err == ""


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_file_is_not_loaded(files, data):
    path = files.path(KEY)
    contents = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        damaged = contents[: data.draw(st.integers(0, len(contents) - 1))]
    else:
        damaged = bytearray(contents)
        damaged[data.draw(st.integers(0, len(contents) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(damaged)
    assert files.load(KEY) is None
    path.write_bytes(contents)
    assert files.load(KEY) == DATA


def test_damage_is_reported_once(files, capsys):
    files.path(KEY).write_bytes(b"")
    assert files.load(KEY) is None
    error = capsys.readouterr().err
    assert error == f"npswin: compiled code is damaged: {files.path(KEY)}; compiling instead\n"
    assert files.load(KEY) is None
    assert capsys.readouterr().err == ""
    files.save(KEY, DATA)
    assert files.load(KEY) == DATA


@pytest.mark.parametrize("name", ["function", "other"])
def test_code_of_other_sources_or_for_another_signature_is_not_loaded(files, tmp_path, name):
    foreign = CodeFiles(str(tmp_path), name, "another stamp" if name == "function" else "stamp")
    foreign.save(("signature", 2), DATA)
    os.replace(foreign.path(("signature", 2)), files.path(KEY))
    assert files.load(KEY) is None


def test_what_is_no_file_is_not_loaded_and_can_not_be_replaced(files, capsys):
    files.path(KEY).unlink()
    files.path(KEY).mkdir()
    assert files.load(KEY) is None
    files.save(KEY, DATA)
    problems = capsys.readouterr().err.splitlines()
    assert [line.split(":")[1].strip() for line in problems] == [
        "compiled code cannot be read",
        "compiled code cannot be saved",
    ]


def test_a_folder_that_was_removed_is_made_again(files, tmp_path):
    for path in tmp_path.iterdir():
        path.unlink()
    tmp_path.rmdir()
    files.save(KEY, DATA)
    assert files.load(KEY) == DATA


def test_a_full_disk_is_reported_once(files, monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(code_cache, "write_atomically", full)
    for _ in range(2):
        files.save(KEY, DATA)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("npswin: compiled code cannot be saved: ")
    assert line.endswith("No space left on device; the next process compiles again")


def test_files_of_older_sources_go_after_a_day(files, tmp_path):
    old = CodeFiles(str(tmp_path), "function", "older")
    old.save(KEY, DATA)
    begun = tmp_path / f".{files.path(KEY).name}.1-1.partial"
    begun.touch()
    files.save(KEY, DATA)
    assert old.path(KEY).exists()
    assert begun.exists()
    for path in (old.path(KEY), begun, files.path(KEY)):
        os.utime(path, (0, 0))
    files.save(("signature", 3), DATA)
    assert not old.path(KEY).exists()
    assert not begun.exists()
    assert files.load(KEY) == DATA
