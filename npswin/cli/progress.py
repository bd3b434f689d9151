"""How far a command is, with one piece of work after the other."""

import sys

from npswin.progress import Progress


class ProgressBar:
    """A `Progress` for each piece of work.

    A call takes the name of the work, how many steps are done, and how many there are.

    Args:
        unit: what is counted.
    """

    def __init__(self, unit: str = "steps") -> None:
        self._unit = unit
        self._work: tuple[str, int] | None = None
        self._done, self._progress = 0, Progress("", 0)

    def __call__(self, work: str, done: int, total: int) -> None:
        if (work, total) != self._work:
            self._progress.close()
            self._work, self._done, self._progress = (work, total), 0, Progress(work, total, unit=self._unit)
        self._progress.advance(done - self._done)
        self._done = done

    def print(self, line: str, is_error: bool = False) -> None:
        """Print a line on standard output, or for an error on stderr, above the bar."""
        self._progress.print(line, sys.stderr if is_error else sys.stdout)

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.close()
