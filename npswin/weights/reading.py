"""Progress of reading and writing large files."""

from collections.abc import Callable
from typing import BinaryIO

Progress = Callable[[str, int, int], None]  # the work's name, what is done, of how much


def no_progress(_work: str, _done: int, _total: int) -> None:
    """Nobody is told."""


class CountingFile:
    """An open file that tells how far it is read.

    Args:
        file: to read from.
        size: its bytes.
        progress: called with "reading", the position and the size.
    """

    def __init__(self, file: BinaryIO, size: int, progress: Progress) -> None:
        self._file, self._size, self._progress = file, size, progress
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        data = self._file.read(size)
        self._progress("reading", min(self._file.tell(), self._size), self._size)
        return data

    def readinto(self, buffer: bytearray) -> int:
        """Fill a buffer with the next bytes; returns how many."""
        count = self._file.readinto(buffer)  # type: ignore[attr-defined]
        self._progress("reading", min(self._file.tell(), self._size), self._size)
        return int(count)

    def readline(self, size: int = -1) -> bytes:
        """The next line."""
        return self._file.readline(size)
