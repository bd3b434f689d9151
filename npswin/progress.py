"""How far long work is, on stderr."""

import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, TypeVar

_SECONDS_UNTIL_BAR = 2
_SECONDS_BETWEEN_LINES = 30

T = TypeVar("T")


class Progress:
    """Progress through a number of things, on stderr: a bar on a terminal, else a plain line every 30 seconds.

    What takes less than two seconds shows nothing; off a terminal, what takes less than 30 seconds.

    Args:
        title: printed before the numbers.
        total: number of things.
        done: things that are done already.
        unit: what they are.
    """

    def __init__(self, title: str, total: int, done: int = 0, unit: str = "images") -> None:
        self._title, self._total, self._done, self._unit = title, total, done, unit
        self._started, self._count = time.monotonic(), 0
        self._next_line = self._started + _SECONDS_BETWEEN_LINES
        self._bar: Any = None
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(
                desc=title,
                total=total,
                initial=done,
                unit=f" {unit}",
                delay=_SECONDS_UNTIL_BAR,
                leave=False,
                ncols=None if _has_width() else 80,
                dynamic_ncols=_has_width(),
            )

    def advance(self, count: int, **values: str) -> None:
        """Count things, and show values beside the count.

        Args:
            count: of those done since the last call.
            values: name -> text, such as loss="0.512".
        """
        self._done += count
        self._count += count
        if self._bar is not None:
            if values:
                self._bar.set_postfix(values, refresh=False)
            self._bar.update(count)
        elif (now := time.monotonic()) >= self._next_line:
            self._next_line = now + _SECONDS_BETWEEN_LINES
            details = "".join(f", {name} {value}" for name, value in values.items())
            done = f"{self._done} of {self._total} {self._unit}, {self._speed(now - self._started)}"
            print(f"{self._title}: {done}{details}", file=sys.stderr, flush=True)

    def _speed(self, seconds: float) -> str:
        """Things a second, or where that is less than one, seconds for each of them."""
        if self._count >= seconds:
            return f"{self._count / seconds:.0f} {self._unit}/s"
        return f"{seconds / max(self._count, 1):.1f} s/{self._unit.removesuffix('s')}"

    def print(self, line: str, file: TextIO) -> None:
        """Print a line, above the bar."""
        if self._bar is not None:
            self._bar.write(line, file=file)
        else:
            print(line, file=file, flush=True)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()


def _has_width() -> bool:
    """Whether the terminal says how many columns it has; in none, as some say, no bar would be shown."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns > 0
    except (OSError, ValueError):
        return False


@contextmanager
def show_progress(title: str, total: int, done: int = 0, unit: str = "images") -> Iterator[Progress]:
    """A `Progress` that is closed at the end of the context, also after an exception."""
    progress = Progress(title, total, done, unit)
    try:
        yield progress
    finally:
        progress.close()


def with_progress(title: str, items: Iterable[T], total: int, unit: str = "images") -> Iterator[T]:
    """So many items, one after the other, while a `Progress` shows how many of them are done."""
    with show_progress(title, total, unit=unit) as progress:
        for item in items:
            yield item
            progress.advance(1)
