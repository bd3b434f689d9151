import gzip
import hashlib
import io
import tarfile
import tracemalloc

import pytest

from npswin.data import cifar10_download
from npswin.data.cifar10_download import FOLDER, TEST_FILES, TRAIN_FILES, download_cifar10, extract_cifar10
from npswin.data.errors import DataFileError, DataUnavailableError

FILES = {f"{FOLDER}/{name}": name.encode() * 50 for name in (*TRAIN_FILES, *TEST_FILES)}


def archive_of(contents, *special):
    """Bytes of a .tar.gz with files `contents` (name -> bytes) and further members `special`."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for member in special:
            tar.addfile(member)
    return packed.getvalue()


def tar_of(contents):
    """The archive without its compression."""
    return gzip.decompress(archive_of(contents))


def with_field(tar, start, field):
    """A tar archive with another field in its first header, and the right checksum."""
    header = bytearray(tar[:512])
    header[start : start + len(field)] = field
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + tar[512:]


def link(name, target):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, target
    return member


@pytest.fixture
def target(tmp_path):
    folder = tmp_path / "target"
    folder.mkdir()
    return folder


def extract(tmp_path, target, content):
    path = tmp_path / "archive.tar.gz"
    path.write_bytes(content)
    extract_cifar10(path, target)


def test_the_six_files_are_extracted(tmp_path, target):
    extract(tmp_path, target, archive_of(FILES))
    assert [path.name for path in target.iterdir()] == [FOLDER]
    assert {f"{FOLDER}/{path.name}": path.read_bytes() for path in (target / FOLDER).iterdir()} == FILES


def test_no_other_member_is_extracted(tmp_path, target):
    extract(
        tmp_path,
        target,
        archive_of(FILES | {"../evil": b"x", "/tmp/evil": b"x", f"{FOLDER}/../../evil": b"x", f"{FOLDER}/more": b"x"}),
    )
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == sorted(
        ["archive.tar.gz", *TRAIN_FILES, *TEST_FILES]
    )


def test_a_link_is_refused(tmp_path, target):
    contents = {name: content for name, content in FILES.items() if not name.endswith("test_batch.bin")}
    with pytest.raises(DataFileError, match="test_batch"):
        extract(tmp_path, target, archive_of(contents, link(f"{FOLDER}/test_batch.bin", "/etc/passwd")))
    assert list(target.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [
        archive_of({name: content for name, content in FILES.items() if "batch_2" not in name}),
        archive_of(FILES)[:150],
        gzip.compress(gzip.decompress(archive_of(FILES))[:2000]),
        b"no archive at all",
        b"",
        gzip.compress(with_field(tar_of(FILES), 124, b"77777777777\0")),
        gzip.compress(with_field(with_field(tar_of(FILES), 124, b"77777777777\0"), 156, b"L")),
        gzip.compress(with_field(with_field(tar_of(FILES), 124, b"00200000000\0"), 156, b"x")),
        gzip.compress(with_field(tar_of(FILES), 156, b"5")),
    ],
    ids=[
        "file missing", "compression cut", "tar cut", "no archive", "empty", "size", "long name", "attributes",
        "folder",
    ],
)  # fmt: skip
def test_a_bad_archive_leaves_nothing(tmp_path, target, content):
    tracemalloc.start()
    with pytest.raises(DataFileError, match=r"archive\.tar\.gz") as error:
        extract(tmp_path, target, content)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * cifar10_download.LARGEST_FILE
    assert len(str(error.value)) < 500
    assert list(target.iterdir()) == []


def test_an_archive_that_inflates_to_much_more_is_not_read_to_its_end(tmp_path, target, monkeypatch):
    monkeypatch.setattr(cifar10_download, "LARGEST_ARCHIVE", 2**18)
    extract(tmp_path, target, archive_of(FILES))
    with pytest.raises(DataFileError, match="inflates to more than 262144 bytes"):
        extract(tmp_path, target, archive_of({f"{FOLDER}/zeros": bytes(2**18), **FILES}))


def test_an_old_folder_is_replaced_only_by_a_complete_one(tmp_path, target):
    (target / FOLDER).mkdir()
    (target / FOLDER / "old").touch()
    with pytest.raises(DataFileError):
        extract(tmp_path, target, b"")
    assert (target / FOLDER / "old").exists()
    extract(tmp_path, target, archive_of(FILES))
    assert not (target / FOLDER / "old").exists()


class TestDownload:
    """`download_cifar10` against pooch with its network replaced."""

    @pytest.fixture(autouse=True)
    def served(self, monkeypatch):
        """`answer`: the bytes that the server sends, or an exception to raise."""
        self.answer = archive_of(FILES)
        monkeypatch.setattr(cifar10_download, "MD5", hashlib.md5(self.answer).hexdigest())
        pooch = pytest.importorskip("pooch")

        def send(_, url, output_file, *__):
            assert url == cifar10_download.URL
            with open(output_file, "wb") as file:
                if isinstance(self.answer, Exception):
                    file.write(b"half")
                    raise self.answer
                file.write(self.answer)

        monkeypatch.setattr(pooch.HTTPDownloader, "__call__", send)

    def test_the_folder_appears(self, tmp_path):
        download_cifar10(tmp_path / "deep" / "cache")
        assert [path.name for path in (tmp_path / "deep" / "cache").iterdir()] == [FOLDER]

    def test_failures_are_one_line_and_leave_nothing(self, tmp_path):
        from requests import exceptions

        failures = {
            "no connection to www": exceptions.ConnectionError("a long\nstory"),
            "no answer from www": exceptions.ConnectTimeout("late"),
            "404": exceptions.HTTPError("404 Client Error"),
            "another file": archive_of(FILES | {"more": b""}),
            "No space left": OSError(28, "No space left on device"),
        }
        for message, self.answer in failures.items():
            with pytest.raises(DataUnavailableError, match=message) as error:
                download_cifar10(tmp_path)
            assert "\n" not in str(error.value)
            assert list(tmp_path.iterdir()) == []

    def test_a_cache_that_cannot_be_made(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(DataUnavailableError, match="cannot be saved in"):
            download_cifar10(tmp_path / "file" / "cache")


def test_without_pooch_the_message_has_the_pip_command(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "pooch", None)
    with pytest.raises(DataUnavailableError, match=r"npswin\[train\]"):
        download_cifar10(tmp_path)
