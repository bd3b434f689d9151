"""What a run shows on stderr, and the signals that stop it."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

_SECONDS_UNTIL_BAR = 2
_SECONDS_BETWEEN_LINES = 30
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def print_stderr(line: str) -> None:
    """Print a line on stderr, unbuffered."""
    print(line, file=sys.stderr, flush=True)


class Progress:
    """Progress through a number of images, on stderr: a bar on a terminal, else a plain line every 30 seconds.

    Args:
        title: printed before the numbers.
        total: number of images.
        done: images that are done already.
    """

    def __init__(self, title: str, total: int, done: int = 0) -> None:
        self._title, self._total, self._done = title, total, done
        self._started, self._count = time.monotonic(), 0
        self._next_line = self._started + _SECONDS_BETWEEN_LINES
        self._bar: Any = None
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(
                desc=title,
                total=total,
                initial=done,
                unit=" images",
                delay=_SECONDS_UNTIL_BAR,
                leave=False,
                dynamic_ncols=True,
            )

    def advance(self, images: int, **values: str) -> None:
        """Count images, and show values beside the count.

        Args:
            images: done since the last call.
            values: name -> text, such as loss="0.512".
        """
        self._done += images
        self._count += images
        if self._bar is not None:
            self._bar.set_postfix(values, refresh=False)
            self._bar.update(images)
        elif (now := time.monotonic()) >= self._next_line:
            self._next_line = now + _SECONDS_BETWEEN_LINES
            speed = self._count / (now - self._started)
            details = "".join(f", {name} {value}" for name, value in values.items())
            print_stderr(f"{self._title}: {self._done} of {self._total} images, {speed:.0f} images/s{details}")

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()


@contextmanager
def show_progress(title: str, total: int, done: int = 0) -> Iterator[Progress]:
    """A `Progress` that is closed at the end of the context, also after an exception."""
    progress = Progress(title, total, done)
    try:
        yield progress
    finally:
        progress.close()


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
