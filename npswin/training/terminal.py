"""Lines on stderr, and the signals that stop a run."""

import os
import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def print_stderr(line: str) -> None:
    """Print a line on stderr, unbuffered."""
    print(line, file=sys.stderr, flush=True)


class TrainingInterrupted(Exception):
    """Training was stopped by a signal, after everything was saved.

    Attributes:
        signal_number: the signal; a program's exit status is customarily 128 plus this.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number


class StopSignals:
    """A context in which the first Ctrl-C or SIGTERM only sets `received`; a second Ctrl-C raises KeyboardInterrupt.

    The handlers before it are set again afterwards. Outside the main thread, where Python delivers no signals, it does
    nothing.

    Attributes:
        received: number of the first signal, or None.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._previous_handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            self._previous_handlers = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is None:
            self.received = number
            # os.write, since a handler may run in the middle of another write to the same stream.
            os.write(2, b"\nstopping after this step (Ctrl-C again aborts at once)\n")
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
