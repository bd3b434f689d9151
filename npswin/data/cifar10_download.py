"""Download of the published CIFAR-10 archive, and extraction of its six data files."""

import gzip
import os
import shutil
import tarfile
import tempfile
import zlib
from pathlib import Path

from npswin.data.errors import DataFileError, DataUnavailableError

FOLDER = "cifar-10-batches-bin"
TRAIN_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_FILES = ("test_batch.bin",)

HOST = "www.cs.toronto.edu"
URL = f"https://{HOST}/~kriz/cifar-10-binary.tar.gz"
MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
TIMEOUT = 10  # seconds without an answer


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
        try:
            with tarfile.open(archive, "r:gz") as tar:
                for name in (*TRAIN_FILES, *TEST_FILES):
                    _extract_file(tar, f"{FOLDER}/{name}", folder / name)
        except KeyError as error:
            raise DataFileError(f"{archive}: {error.args[0]}") from error
        except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise DataFileError(f"{archive}: damaged archive ({error})") from error
        shutil.rmtree(target / FOLDER, ignore_errors=True)
        os.replace(folder, target / FOLDER)


def _extract_file(tar: tarfile.TarFile, member_name: str, path: Path) -> None:
    member = tar.getmember(member_name)
    source = tar.extractfile(member) if member.isreg() else None
    if source is None:
        raise DataFileError(f"{tar.name!s}: {member_name} is not a regular file")
    with open(path, "wb") as file:
        shutil.copyfileobj(source, file)
