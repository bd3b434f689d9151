import os

import numpy as np
import pytest

from npswin.data import cifar10
from npswin.data.cifar10 import CIFAR10_CLASSES, load_cifar10, read_cifar10_file
from npswin.data.cifar10_download import FOLDER, TEST_FILES, TRAIN_FILES
from npswin.data.errors import DataFileError, DataUnavailableError


def records(count, seed=0):
    """Records (count, 3073): red is the image's number, green the row, blue the column."""
    labels = np.random.default_rng(seed).integers(0, 10, count, np.uint8)
    pixels = np.empty((count, 3, 32, 32), np.uint8)
    pixels[:, 0] = (np.arange(count) % 256)[:, None, None]
    pixels[:, 1] = np.arange(32)[:, None]
    pixels[:, 2] = np.arange(32)
    return np.concatenate([labels[:, None], pixels.reshape(count, -1)], axis=1)


@pytest.fixture
def small_files(monkeypatch, tmp_path):
    """A folder with the six files, each with 12 records."""
    monkeypatch.setattr(cifar10, "_RECORDS_PER_FILE", 12)
    folder = tmp_path / FOLDER
    folder.mkdir()
    for number, name in enumerate((*TRAIN_FILES, *TEST_FILES)):
        records(12, seed=number).tofile(folder / name)
    return folder


def test_layout_of_a_record(small_files):
    data = load_cifar10(small_files)
    assert data.images.shape == (60, 3, 32, 32)
    assert data.class_names == CIFAR10_CLASSES
    assert (data.name, data.split) == ("CIFAR-10", "train")
    np.testing.assert_array_equal(data.labels, np.concatenate([records(12, seed=s)[:, 0] for s in range(5)]))
    assert data.images[15, :, 7, 21].tolist() == [3, 7, 21]


def test_test_split_is_the_sixth_file(small_files):
    data = load_cifar10(small_files, train=False)
    assert data.split == "test"
    np.testing.assert_array_equal(data.labels, records(12, seed=5)[:, 0])


def test_the_parent_folder_works_as_well(small_files):
    np.testing.assert_array_equal(load_cifar10(small_files.parent).labels, load_cifar10(str(small_files)).labels)


def test_the_cache_is_found_through_the_environment(small_files, monkeypatch):
    monkeypatch.setenv("NPSWIN_DATA", str(small_files.parent))
    assert len(load_cifar10()) == 60


def test_an_empty_cache_without_download(tmp_path, monkeypatch):
    monkeypatch.setenv("NPSWIN_DATA", str(tmp_path / "none"))
    with pytest.raises(DataUnavailableError, match="none") as error:
        load_cifar10(download=False)
    assert "\n" not in str(error.value)


def test_an_empty_cache_is_filled(tmp_path, monkeypatch, small_files):
    monkeypatch.setenv("NPSWIN_DATA", str(tmp_path / "cache"))
    monkeypatch.setattr(cifar10, "download_cifar10", lambda cache: cache.mkdir() or small_files.rename(cache / FOLDER))
    assert len(load_cifar10(train=False)) == 12
    assert (tmp_path / "cache" / FOLDER).is_dir()


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_a_data_dir_without_data_is_an_error_and_downloads_nothing(tmp_path, monkeypatch, name):
    monkeypatch.setattr(cifar10, "download_cifar10", lambda cache: pytest.fail("a download was tried"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataFileError, match=name):
        load_cifar10(tmp_path / name)


def test_a_missing_file_is_named(small_files):
    (small_files / "data_batch_3.bin").unlink()
    with pytest.raises(DataFileError, match=r"data_batch_3\.bin.*No such file"):
        load_cifar10(small_files)


@pytest.mark.parametrize("count", [0, 1, 12 * 3073 - 1, 11 * 3073, 12 * 3073 + 1, 13 * 3073])
def test_a_wrong_size_is_named(small_files, count):
    path = small_files / "test_batch.bin"
    path.write_bytes(bytes(count))
    with pytest.raises(DataFileError, match=rf"test_batch\.bin: has {count} bytes, expected {12 * 3073}"):
        load_cifar10(small_files, train=False)


def test_a_published_file_has_ten_thousand_records(tmp_path):
    path = tmp_path / "data_batch_1.bin"
    records(12).tofile(path)
    with pytest.raises(DataFileError, match="expected 30730000"):
        read_cifar10_file(path)


def test_a_large_file_is_not_read(small_files):
    with open(small_files / "test_batch.bin", "wb") as file:
        file.truncate(2**33)
    with pytest.raises(DataFileError, match="has 8589934592 bytes"):
        load_cifar10(small_files, train=False)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_in_place_of_a_file(small_files):
    (small_files / "test_batch.bin").unlink()
    os.mkfifo(small_files / "test_batch.bin")
    with pytest.raises(DataFileError, match=r"test_batch\.bin: is a pipe"):
        load_cifar10(small_files, train=False)


@pytest.mark.parametrize("path", ["a\0b", "x" * 5000])
def test_a_name_that_no_folder_can_have(path):
    with pytest.raises(DataFileError, match=r"no CIFAR-10 in|data_dir: got") as error:
        load_cifar10(path)
    assert len(str(error.value)) < 500


def test_a_label_above_9_is_named(small_files):
    broken = records(12)
    broken[4, 0] = 200
    broken.tofile(small_files / "data_batch_2.bin")
    with pytest.raises(DataFileError, match=r"data_batch_2\.bin: record 4 has label 200"):
        load_cifar10(small_files)


def test_a_folder_in_place_of_a_file(small_files):
    (small_files / "test_batch.bin").unlink()
    (small_files / "test_batch.bin").mkdir()
    with pytest.raises(DataFileError, match=r"test_batch\.bin"):
        load_cifar10(small_files, train=False)
