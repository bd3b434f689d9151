"""The limit on threads, and libraries that are not installed."""

import dataclasses
import threading
import time
from collections.abc import Sequence

import numpy as np
import pytest

from npswin import backends
from npswin.data import load_detection_scenes, load_samples, reading_threads
from npswin.data.formats.check_files import unreadable_samples
from npswin.data.formats.findings import Findings
from npswin.training import set_threads
from npswin.training.environment import import_optional

threadpoolctl = pytest.importorskip("threadpoolctl")


def _threads():
    np.ones((2, 2)) @ np.ones((2, 2))
    return {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"}


@pytest.fixture
def limits(monkeypatch):
    """Restores the limits afterwards."""
    before = backends.thread_count()
    monkeypatch.setattr(reading_threads, "_limit", None)
    with threadpoolctl.threadpool_limits():
        yield
    backends.set_thread_count(before)


def test_set_threads_limits_blas(limits):
    set_threads(1)
    assert _threads() <= {1}


class Seen(Sequence):
    """Samples that note which threads read them, together where there are several."""

    def __init__(self):
        self.threads = set()

    def __len__(self):
        return 8

    def __getitem__(self, index):
        time.sleep(0.005)
        self.threads.add(threading.get_ident())
        return SCENES[0]


SCENES = load_detection_scenes(train=True, size=32, count=1)


def read_by_checks(samples, folder):
    unreadable_samples(samples, Findings(folder))


def read_by_loading(samples, folder):
    list(load_samples(dataclasses.replace(SCENES, samples=samples, image_ids=()), [np.arange(8)]))


@pytest.mark.parametrize("read", [read_by_checks, read_by_loading])
def test_set_threads_limits_those_that_read_files(limits, monkeypatch, tmp_path, read):
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    for count, threads in ((None, 4), (2, 2), (1, 1)):
        if count is not None:
            set_threads(count)
        samples = Seen()
        read(samples, tmp_path)
        assert len(samples.threads) == threads


def test_set_threads_takes_at_least_one():
    with pytest.raises(ValueError, match=r"^count: got 0"):
        set_threads(0)


def test_import_optional_names_the_extra():
    with pytest.raises(ImportError, match=r"no_such_library is not installed; pip install 'npswin\[train\]'"):
        import_optional("no_such_library.part")
