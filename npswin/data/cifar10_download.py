"""Download of the published CIFAR-10 archive, and extraction of its six data files."""

import gzip
import os
import shutil
import tarfile
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

from npswin.data.errors import DataFileError, DataUnavailableError
from npswin.files import open_regular, shortened, shown_path

FOLDER = "cifar-10-batches-bin"
TRAIN_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_FILES = ("test_batch.bin",)

HOST = "www.cs.toronto.edu"
URL = f"https://{HOST}/~kriz/cifar-10-binary.tar.gz"
MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
TIMEOUT = 10  # seconds without an answer
LARGEST_FILE, LARGEST_ARCHIVE = 2**25, 2**28  # bytes, inflated: the published ones have 30,730,000 and 184,380,000
MOST_MEMBERS = 100


def download_cifar10(cache: Path) -> None:
    """Download the archive, and make `cifar-10-batches-bin/` in `cache`. After an error there is no partial folder.

    A progress bar is shown; the archive is deleted at the end.

    Args:
        cache: a folder, made where it is missing.

    Raises:
        DataUnavailableError: pooch is not installed, the server cannot be reached or does not answer for 10 seconds,
            the archive has another checksum, or the folder cannot be written. The message is one line.
    """
    try:
        import pooch
        from requests import exceptions
    except ImportError as error:
        raise DataUnavailableError("downloading CIFAR-10 needs pooch: pip install 'npswin[train]'") from error
    pooch.get_logger().setLevel("ERROR")
    downloader = pooch.HTTPDownloader(progressbar=True, timeout=TIMEOUT)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".cifar10-", dir=cache) as temporary:
            archive = pooch.retrieve(URL, f"md5:{MD5}", fname="archive.tar.gz", path=temporary, downloader=downloader)
            extract_cifar10(Path(archive), cache)
    except exceptions.HTTPError as error:
        raise DataUnavailableError(f"CIFAR-10 cannot be downloaded: {HOST} answered {error}") from error
    except exceptions.Timeout as error:
        raise DataUnavailableError(f"CIFAR-10 cannot be downloaded: no answer from {HOST} for {TIMEOUT} s") from error
    except exceptions.RequestException as error:
        raise DataUnavailableError(f"CIFAR-10 cannot be downloaded: no connection to {HOST}") from error
    except ValueError as error:  # pooch's error for a wrong checksum, or DataFileError
        raise DataUnavailableError(f"CIFAR-10 cannot be downloaded: {HOST} sent another file than expected") from error
    except OSError as error:
        raise DataUnavailableError(f"CIFAR-10 cannot be saved in {cache}: {error.strerror or error}") from error


def extract_cifar10(archive: Path, target: Path) -> None:
    """Extract the six data files from the archive, each by its exact name, and no other member.

    Args:
        archive: a gzipped tar file.
        target: the folder in which `cifar-10-batches-bin/` is made, or replaced. After an error it is unchanged.

    Raises:
        DataFileError: the archive is damaged, or a file is not in it.
        OSError: `target` cannot be written.
    """
    with tempfile.TemporaryDirectory(prefix=".cifar10-", dir=target) as temporary:
        folder = Path(temporary) / FOLDER
        folder.mkdir()
        with open_regular(archive, DataFileError) as compressed:
            _extract_files(_BoundedStream(gzip.GzipFile(fileobj=compressed)), folder, shown_path(archive))
        shutil.rmtree(target / FOLDER, ignore_errors=True)
        os.replace(folder, target / FOLDER)


class _BoundedStream:
    """An archive while it inflates: a damaged one may claim any sizes, and inflate to a thousand times its own."""

    def __init__(self, stream: gzip.GzipFile) -> None:
        self._stream, self.tell = stream, stream.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= LARGEST_FILE:
            raise ValueError(f"a part of {size} bytes, expected at most {LARGEST_FILE}")
        self._check(self.tell() + size)
        return self._stream.read(size)

    def seek(self, position: int) -> None:
        self._check(position)
        self._stream.seek(position)

    def _check(self, position: int) -> None:
        if position > LARGEST_ARCHIVE:
            raise ValueError(f"inflates to more than {LARGEST_ARCHIVE} bytes")


def _extract_files(stream: Any, folder: Path, origin: str) -> None:
    """Extract the six files into a folder; a DataFileError names the archive, `origin`."""
    try:
        archive = tarfile.open(fileobj=stream, mode="r:")  # noqa: SIM115 (the stream is the caller's)
        members = {member.name: member for member in islice(archive, MOST_MEMBERS)}
    except Exception as error:  # tarfile and gzip raise what zlib, struct and codecs raise, too
        raise DataFileError(f"{origin}: damaged archive ({shortened(str(error))})") from error
    for name in (*TRAIN_FILES, *TEST_FILES):
        member = members.get(f"{FOLDER}/{name}")
        if member is None or not member.isreg() or member.size > LARGEST_FILE:
            raise DataFileError(f"{origin}: {FOLDER}/{name} is no regular file of at most {LARGEST_FILE} bytes in it")
        try:
            source = archive.extractfile(member)
            assert source is not None
            content = source.read()
        except Exception as error:
            raise DataFileError(f"{origin}: damaged archive ({shortened(str(error))})") from error
        (folder / name).write_bytes(content)
