"""Progress on stderr."""

import os
import sys

import pytest

from npswin import progress as module
from npswin.cli.progress import ProgressBar
from npswin.progress import show_progress, with_progress


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_progress_prints_a_line_every_30_seconds(clock, capsys):
    with show_progress("epoch 1/2", total=100, done=20) as progress:
        for _ in range(8):
            clock[0] += 10
            progress.advance(10, loss="0.5")
    assert capsys.readouterr().err.splitlines() == [
        "epoch 1/2: 50 of 100 images, 1 images/s, loss 0.5",
        "epoch 1/2: 80 of 100 images, 1 images/s, loss 0.5",
    ]


def test_progress_is_a_bar_on_a_terminal(monkeypatch, capsys):
    pytest.importorskip("tqdm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(module, "_SECONDS_UNTIL_BAR", 0)
    with show_progress("epoch 1/2", total=100) as progress:
        for _ in range(10):
            progress.advance(10, loss="0.5")
            progress._bar.refresh()
    printed = capsys.readouterr().err
    assert "epoch 1/2: 100%" in printed
    assert "loss=0.5" in printed
    assert "images/s" in printed


def test_a_terminal_that_says_it_has_no_columns_has_a_bar(monkeypatch):
    pytest.importorskip("tqdm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(sys.stderr, "fileno", lambda: 2)
    monkeypatch.setattr(module.os, "get_terminal_size", lambda _: os.terminal_size((0, 0)))
    with show_progress("epoch 1/2", total=100) as progress:
        assert progress._bar.ncols == 80


def test_items_are_counted_in_their_unit(clock, capsys):
    def slow(items):
        for item in items:
            clock[0] += 20
            yield item

    assert list(slow(with_progress("reading annotations", [5, 6, 7, 8], 4, "annotations"))) == [5, 6, 7, 8]
    assert capsys.readouterr().err.splitlines() == [
        "reading annotations: 2 of 4 annotations, 20.0 s/annotation",
        "reading annotations: 4 of 4 annotations, 20.0 s/annotation",
    ]


def test_a_command_counts_each_piece_of_work(clock, capsys):
    with ProgressBar("bytes") as progress:
        for work in ("reading", "writing"):
            for done in range(0, 101, 25):
                progress(work, done, 100)
                clock[0] += 10
        progress.print("done")
        progress.print("failed", is_error=True)
    printed = capsys.readouterr()
    assert printed.out == "done\n"
    assert printed.err.splitlines() == [
        "reading: 75 of 100 bytes, 2 bytes/s",
        "writing: 75 of 100 bytes, 2 bytes/s",
        "failed",
    ]
