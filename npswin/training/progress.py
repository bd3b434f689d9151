"""A progress bar on a terminal, now and then a plain line elsewhere."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_SECONDS_UNTIL_BAR = 2
_SECONDS_BETWEEN_LINES = 30


class Progress:
    """What has been done of one piece of work, on stderr.

    Args:
        title: of the work.
        total: images to go through.
        done: images gone through already.
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
        """Say that so many more images are done, and what there is to know about them."""
        self._done += images
        self._count += images
        if self._bar is not None:
            self._bar.set_postfix(values, refresh=False)
            self._bar.update(images)
        elif (now := time.monotonic()) >= self._next_line:
            self._next_line = now + _SECONDS_BETWEEN_LINES
            speed = self._count / (now - self._started)
            details = "".join(f", {name} {value}" for name, value in values.items())
            say(f"{self._title}: {self._done} of {self._total} images, {speed:.0f} images/s{details}")

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()


@contextmanager
def progress(title: str, total: int, done: int = 0) -> Iterator[Progress]:
    """A `Progress` that is taken away when the work ends, however it ends."""
    shown = Progress(title, total, done)
    try:
        yield shown
    finally:
        shown.close()


def say(line: str) -> None:
    """A line on stderr."""
    print(line, file=sys.stderr, flush=True)
