"""Data sets: CIFAR-10's files and its archive."""

from pathlib import Path

import numpy as np

from npswin import data
from npswin.data import DataFileError, cifar10, cifar10_download
from tests.tools.fuzzing.doors.door import Door, Sample, require
from tests.tools.fuzzing.mutations import tar_gz
from tests.tools.fuzzing.workspace import Files


def cifar10_door(folder: Path) -> Door:
    """`load_cifar10` from files of three records."""
    records = 3
    cifar10._RECORDS_PER_FILE = records
    numbers = np.random.default_rng(0).integers(0, 256, (records, 3073), np.uint8)
    numbers[:, 0] = [0, 3, 9]

    def read(sample: Sample) -> str:
        found = data.load_cifar10(sample.folder, train=False)
        content = sample.files["test_batch.bin"]
        assert isinstance(content, bytes)
        wanted = np.frombuffer(content, np.uint8).reshape(records, 3073)
        require(np.array_equal(found.labels, wanted[:, 0]) and found.labels.max() <= 9, "other labels")
        require(np.array_equal(found.images.reshape(records, -1), wanted[:, 1:]), "other pixels")
        return "read"

    return Door("cifar10", (DataFileError,), [{"test_batch.bin": numbers.tobytes()}], read)


def archive_door(folder: Path) -> Door:
    """`extract_cifar10` from small archives."""
    names = (*cifar10_download.TRAIN_FILES, *cifar10_download.TEST_FILES)
    contents = {f"{cifar10_download.FOLDER}/{name}": name.encode() * 30 for name in names}
    more = {f"{cifar10_download.FOLDER}/readme.html": b"<p>" * 300, **contents}
    target = folder / "extracted"
    target.mkdir(exist_ok=True)

    def read(sample: Sample) -> str:
        cifar10_download.extract_cifar10(sample.folder / "a.tar.gz", target)
        require([path.name for path in target.iterdir()] == [cifar10_download.FOLDER], "other files are extracted")
        found = {path.name for path in (target / cifar10_download.FOLDER).iterdir()}
        require(found == set(names), "other files are extracted")
        return "extracted"

    seeds: list[Files] = [{"a.tar.gz": tar_gz(contents)}, {"a.tar.gz": tar_gz(more)}]
    return Door("archive", (DataFileError,), seeds, read)
