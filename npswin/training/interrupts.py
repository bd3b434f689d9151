"""Ctrl-C and SIGTERM as a question asked between two steps."""

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class TrainingInterrupted(Exception):
    """Training was asked to stop, and stopped with everything saved.

    Attributes:
        signal_number: the signal that asked; a program's exit status is customarily 128 plus this.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number


class Interrupts:
    """A context in which the first Ctrl-C or SIGTERM only sets `requested`; a second Ctrl-C aborts at once.

    Afterwards the handlers are what they were. Outside the main thread, where Python delivers no signals, it does
    nothing.

    Attributes:
        requested: number of the signal that came first, or None.
    """

    def __init__(self) -> None:
        self.requested: int | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interrupts":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested is None:
            self.requested = number
            # os.write, since a handler may run in the middle of another write to the same stream.
            os.write(2, b"\nstopping after this step (Ctrl-C again aborts at once)\n")
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
