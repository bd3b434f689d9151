"""CIFAR-10 (Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images") from its binary files.

A record is 3073 bytes: the label, then 1024 red, 1024 green and 1024 blue values, row by row. Each of the six files
has 10,000 records.
"""

import os
from pathlib import Path

import numpy as np

from npswin.checks import check_flag, check_path
from npswin.data.cifar10_download import FOLDER, TEST_FILES, TRAIN_FILES, download_cifar10
from npswin.data.dataset import ImageDataset
from npswin.data.errors import DataFileError, DataUnavailableError
from npswin.files import open_regular, read_exactly, shown_path
from npswin.types import Array

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR10_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR10_STD = (0.2470, 0.2435, 0.2616)

_RECORDS_PER_FILE = 10_000
_RECORD_BYTES = 1 + 3 * 32 * 32


def load_cifar10(
    data_dir: str | os.PathLike[str] | None = None, train: bool = True, download: bool = True
) -> ImageDataset:
    """Load CIFAR-10 from a folder, from the cache, or from the network into the cache.

    Args:
        data_dir: the folder `cifar-10-batches-bin`, or its parent. None for the cache: the folder in the environment
            variable NPSWIN_DATA, or else the user's cache folder.
        train: the 50,000 training images, or the 10,000 test images.
        download: whether to download the archive (170 MB) into the cache, where no `data_dir` is given and the
            cache has no CIFAR-10.

    Returns:
        images (N, 3, 32, 32) uint8 and labels (N,) int64, in the order of the files.

    Raises:
        DataFileError: there is no CIFAR-10 at `data_dir`; a file is missing, has a wrong size or a label above 9.
        ValueError: an argument of another type.
        DataUnavailableError: the cache has no CIFAR-10, and it cannot or must not be downloaded.
    """
    files = TRAIN_FILES if check_flag("train", train) else TEST_FILES
    check_flag("download", download)
    if data_dir is not None:
        folder = _find_folder(check_path("data_dir", data_dir, DataFileError))
        if folder is None:
            raise DataFileError(f"no CIFAR-10 in {shown_path(data_dir)}: neither {FOLDER}/ nor its files are there")
    else:
        cache = cache_folder()
        folder = _find_folder(cache)
        if folder is None:
            if not download:
                raise DataUnavailableError(f"no CIFAR-10 in {cache}, and download=False")
            download_cifar10(cache)
            folder = cache / FOLDER
    parts = [read_cifar10_file(folder / name) for name in files]
    images, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return ImageDataset(images, labels, CIFAR10_CLASSES, name="CIFAR-10", split="train" if train else "test")


def read_cifar10_file(path: str | os.PathLike[str]) -> tuple[Array, Array]:
    """Read one of the six files.

    Args:
        path: a file of 10,000 records.

    Returns:
        images (10000, 3, 32, 32) uint8 and labels (10000,) int64.

    Raises:
        DataFileError: the file is missing or unreadable, has a wrong size or a label above 9.
    """
    expected = _RECORDS_PER_FILE * _RECORD_BYTES
    with open_regular(path, DataFileError) as file:
        size = os.fstat(file.fileno()).st_size
        if size != expected:
            raise DataFileError(
                f"{shown_path(path)}: has {size} bytes, expected {expected} "
                f"({_RECORDS_PER_FILE} records of {_RECORD_BYTES})"
            )
        content = bytearray(read_exactly(file, size, path, DataFileError))
    records = np.frombuffer(content, np.uint8).reshape(_RECORDS_PER_FILE, _RECORD_BYTES)
    labels = records[:, 0].astype(np.int64)
    if labels.max() > 9:
        first = int(np.argmax(labels > 9))
        raise DataFileError(f"{shown_path(path)}: record {first} has label {labels[first]}, expected 0 to 9")
    return records[:, 1:].reshape(-1, 3, 32, 32), labels


def cache_folder() -> Path:
    """The folder for downloads: NPSWIN_DATA where that is set, else the user's cache folder for npswin.

    Raises:
        DataUnavailableError: NPSWIN_DATA is not set, and pooch, which gives the user's cache folder, is not installed.
    """
    if folder := os.environ.get("NPSWIN_DATA"):
        return Path(folder)
    try:
        import pooch
    except ImportError as error:
        raise DataUnavailableError("the CIFAR-10 cache needs pooch: pip install 'npswin[train]'") from error
    return Path(pooch.os_cache("npswin"))


def _find_folder(path: Path) -> Path | None:
    """The folder with at least one of the six files: `cifar-10-batches-bin` in `path`, or `path` itself, or None."""
    for folder in (path / FOLDER, path):
        if any(os.path.exists(folder / name) for name in (*TRAIN_FILES, *TEST_FILES)):
            return folder
    return None
