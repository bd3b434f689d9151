"""What is shown while one waits."""

import sys

import pytest

from npswin.training import progress as module
from npswin.training.progress import progress


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_a_plain_line_now_and_then(clock, capsys):
    with progress("epoch 1/2", total=100, done=20) as shown:
        for _ in range(8):
            clock[0] += 10
            shown.advance(10, loss="0.5")
    assert capsys.readouterr().err.splitlines() == [
        "epoch 1/2: 50 of 100 images, 1 images/s, loss 0.5",
        "epoch 1/2: 80 of 100 images, 1 images/s, loss 0.5",
    ]


def test_a_bar_on_a_terminal(monkeypatch, capsys):
    pytest.importorskip("tqdm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(module, "_SECONDS_UNTIL_BAR", 0)
    with progress("epoch 1/2", total=100) as shown:
        for _ in range(10):
            shown.advance(10, loss="0.5")
            shown._bar.refresh()
    shown_text = capsys.readouterr().err
    assert "epoch 1/2: 100%" in shown_text
    assert "loss=0.5" in shown_text
    assert "images/s" in shown_text
