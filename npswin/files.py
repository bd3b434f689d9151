"""Files that are read within bounds, and written completely or not at all.

A file that a user names may be anything: a folder, a pipe that never ends, gigabytes, bytes that somebody changed. So
only regular files are opened, and their size is compared with what is expected before they are read. Whoever reads a
kind of file has one class of error for it, derived from `FileError`.
"""

import contextlib
import errno
import json
import math
import os
import stat
import threading
from collections.abc import Callable, Iterable
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import IO, Any, BinaryIO

MOST_SHOWN = 10  # names or lines in an error's message


class FileError(ValueError):
    """A file that cannot be used; the message has its path and the reason.

    Where the system does not open or read the file, the exception is of the system's class, too, such as
    FileNotFoundError or PermissionError.
    """


def open_regular(path: str | PathLike[str], error: type[FileError]) -> BinaryIO:
    """Open a file for reading.

    Args:
        path: a regular file, or a link to one.
        error: raised for anything else: no file, a folder, a pipe, a device, a name that no file can have.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as system:
        raise system_error(error, path, system) from system
    except ValueError as system:  # a null byte
        raise error(f"{shortened(repr(os.fspath(path)))}: no file can have such a name ({system})") from system
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        if stat.S_ISDIR(mode):
            raise system_error(error, path, IsADirectoryError(errno.EISDIR, "is a folder, expected a file"))
        raise error(f"{shown_path(path)}: is a pipe, a device or a socket, expected a regular file")
    return os.fdopen(descriptor, "rb")


def read_bytes(path: str | PathLike[str], error: type[FileError], at_most: int) -> bytes:
    """The contents of a file.

    Args:
        path: a regular file.
        error: raised where it cannot be read, or is larger.
        at_most: bytes.
    """
    with open_regular(path, error) as file:
        size = os.fstat(file.fileno()).st_size
        if size > at_most:
            raise error(f"{shown_path(path)}: has {size} bytes, expected at most {at_most}")
        return read_exactly(file, size, path, error)


def read_exactly(file: IO[bytes], size: int, path: str | PathLike[str], error: type[FileError]) -> bytes:
    """The next bytes of an open file.

    Args:
        file: where to read.
        size: number of bytes.
        path: of the file, for the message.
        error: raised where the file ends earlier or cannot be read, or memory does not suffice.
    """
    try:
        data = file.read(size)
    except OSError as system:
        raise system_error(error, path, system) from system
    except MemoryError as system:
        raise error(f"{shown_path(path)}: too little memory for {size} bytes of it") from system
    if len(data) != size:
        raise error(f"{shown_path(path)}: ends {size - len(data)} bytes too early")
    return data


def read_json(path: str | PathLike[str], error: type[FileError], at_most: int, finite: bool = True) -> Any:
    """The value in a JSON file; see `parse_json`.

    Args:
        path: a regular file.
        error: raised where it cannot be read, is larger, or is not JSON.
        at_most: bytes. In memory a value may take thirty times as many.
        finite: see `parse_json`.
    """
    return parse_json(read_bytes(path, error, at_most), path, error, finite)


def parse_json(text: bytes, path: str | PathLike[str], error: type[FileError], finite: bool = True) -> Any:
    """The value of JSON in UTF-8, with or without a byte order mark.

    Besides what is not JSON, what readers of JSON understand differently is refused: a name twice in one object, NaN
    and infinity, numbers beyond the range of float64.

    Args:
        text: the JSON.
        path: where it comes from, for the message.
        error: raised where it is not JSON.
        finite: whether NaN, infinity and numbers beyond the range are refused; else they are floats that are not
            finite, which the caller has to find.
    """
    number = _finite if finite else float
    try:
        return json.loads(
            text.decode("utf-8-sig"), object_pairs_hook=_distinct_names, parse_float=number, parse_constant=number
        )
    except (ValueError, RecursionError, MemoryError) as problem:
        reason = shortened(str(problem)) or "too little memory"
        raise error(f"{shown_path(path)}: cannot be read as JSON ({reason})") from problem


def _distinct_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"{shortened(repr(twice))} is there twice")
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{shortened(text, 100)} is no finite number")
    return number


def system_error(error: type[FileError], path: str | PathLike[str], system: OSError) -> FileError:
    """An exception of both classes: of the kind of file, and of the system's error; itself where it is one already."""
    if isinstance(system, error):
        return system
    kinds: tuple[Any, Any] = error, type(system)
    both = _of_both_classes(*kinds)(f"{shown_path(path)}: {system.strerror or system}")
    both.errno, both.filename = system.errno, system.filename
    return both


@lru_cache
def _of_both_classes(error: Any, system: Any) -> Any:
    # __str__, since OSError's would show errno and filename instead of the message
    return type(error.__name__, (error, system), {"__module__": error.__module__, "__str__": Exception.__str__})


def message_of(error: BaseException) -> str:
    """The message of an exception for users: of a system's error the file and what is wrong, without its number."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    return f"{shown_path(error.filename)}: {error.strerror}" if error.filename else error.strerror


def shown_path(path: str | PathLike[str]) -> str:
    """A path for a message, which is short even if the path is not."""
    return shortened(os.fspath(path))


def shortened(text: str, length: int = 200) -> str:
    """The text, or where it is longer its beginning and its end."""
    return text if len(text) <= length else f"{text[: length - 60]} ... {text[-50:]}"


def counted(number: int, noun: str) -> str:
    """A number of things: "1 image", "2,000 images"."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def listed(lines: Iterable[str], separator: str = ", ", at_most: int = MOST_SHOWN) -> str:
    """Names or lines for a message; of many, the first ones and the number of the others."""
    lines = list(lines)
    more = len(lines) - at_most
    return separator.join([shortened(line) for line in lines[:at_most]] + ([f"and {more} more"] if more > 0 else []))


def write_atomically(path: str | PathLike[str], write: Callable[[BinaryIO], Any], sync: bool = True) -> None:
    """Write a file under a temporary name in the same folder, then rename it, so that `path` is never half written.

    Args:
        path: the file to create or replace; its folder must exist. Of a link, the file that it leads to.
        write: called with the open binary file.
        sync: whether to wait until the disk has the bytes; else the file may be damaged after a power failure.

    Raises:
        OSError: the file could not be written (no such folder, read-only, disk full, ...), or `path` is a folder, a
            pipe or a device. The message has `path`; what was there before is unchanged, and the temporary file is
            deleted.
    """
    path = Path(path)
    _require_replaceable(path)
    target = Path(os.path.realpath(path))
    temporary = temporary_path(target)
    try:
        with open(temporary, "wb") as file:
            write(file)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and not isinstance(error, FileError):  # of another file, that `write` reads
            raise OSError(error.errno, f"cannot write the file: {error.strerror}", str(path)) from error
        raise


def _require_replaceable(path: Path) -> None:
    """Raise an OSError where a path has no file's name, or is something that a file must not replace."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG
    except OSError as error:  # such as links that lead to each other
        raise OSError(error.errno, f"cannot write the file: {error.strerror}", str(path)) from error
    if not path.name or stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "cannot write the file: is a folder", str(path))
    if not stat.S_ISREG(mode):
        what = "is a pipe, a device or a socket, which would be replaced by the file"
        raise FileExistsError(errno.EEXIST, f"cannot write the file: {what}", str(path))


def temporary_path(path: Path) -> Path:
    """The name under which this thread writes a file before it is complete: see `temporary_paths`."""
    return path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.partial")


def temporary_paths(path: Path) -> list[Path]:
    """Files that some process began as this one and did not finish."""
    return sorted(path.parent.glob(f".{path.name}.*.partial"))
