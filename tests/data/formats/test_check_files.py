"""Each sample is read once, in several threads."""

import time

import pytest

from npswin.data import DataFileError
from npswin.data.formats import check_files
from npswin.data.formats.findings import Findings


class Slow:
    """Samples that are counted, each of which takes a while."""

    def __init__(self, count):
        self.count, self.read = count, []

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        time.sleep(0.002)
        self.read.append(index)
        if index % 7 == 3:
            raise DataFileError(f"{index}.png: is damaged")
        return index


def test_samples_that_cannot_be_read_are_found(tmp_path):
    samples, findings = Slow(20), Findings(tmp_path)
    assert check_files.unreadable_samples(samples, findings) == {3, 10, 17}
    assert sorted(samples.read) == list(range(20))
    assert [(one.where, one.text) for one in findings.kept] == [(f"{n}.png", "is damaged") for n in (3, 10, 17)]


def test_ctrl_c_ends_the_reading_at_once(tmp_path, monkeypatch):
    def interrupt(progress, count):
        raise KeyboardInterrupt

    monkeypatch.setattr("npswin.progress.Progress.advance", interrupt)
    samples = Slow(2000)
    with pytest.raises(KeyboardInterrupt):
        check_files.unreadable_samples(samples, Findings(tmp_path))
    assert len(samples.read) < 200
