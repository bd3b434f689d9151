"""Progress on stderr, Ctrl-C and SIGTERM."""

import signal
import sys
import threading

import pytest

from npswin.training import terminal
from npswin.training.terminal import StopSignals, show_progress


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
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
    monkeypatch.setattr(terminal, "_SECONDS_UNTIL_BAR", 0)
    with show_progress("epoch 1/2", total=100) as progress:
        for _ in range(10):
            progress.advance(10, loss="0.5")
            progress._bar.refresh()
    printed = capsys.readouterr().err
    assert "epoch 1/2: 100%" in printed
    assert "loss=0.5" in printed
    assert "images/s" in printed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stop_signals_record_the_first_signal(number, capfd):
    before = signal.getsignal(number)
    with StopSignals() as signals:
        assert signals.received is None
        signal.raise_signal(number)
        assert signals.received == number
    assert signal.getsignal(number) is before
    assert "stopping after this step" in capfd.readouterr().err


def test_stop_signals_raise_at_the_second_ctrl_c():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), StopSignals():  # noqa: PT012
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_stop_signals_do_nothing_in_other_threads():
    def enter():
        with StopSignals():
            seen.append(signal.getsignal(signal.SIGINT))

    seen = []
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]
