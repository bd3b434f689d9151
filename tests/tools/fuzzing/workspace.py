"""Sets of files in memory, and the folder in which they are read."""

import hashlib
import os
import resource
import shutil
import stat
from pathlib import Path

NOT_FILES = ("folder", "fifo", "endless", "dangling", "eight gigabytes")

# By name the contents, or one of NOT_FILES.
Files = dict[str, bytes | str]


class Workspace:
    """A folder that holds one set of files at a time; files that stay the same are not written again.

    Args:
        folder: on a file system in memory, where there is one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._placed: Files = {}

    def place(self, files: Files) -> None:
        """Make the folder hold these files and no others."""
        for name in self._placed.keys() - files.keys():
            self._remove(name)
        for name, content in files.items():
            placed = self._placed.get(name)
            if placed is not content:
                if placed is not None and not (isinstance(placed, bytes) and isinstance(content, bytes)):
                    self._remove(name)
                _write(self.folder / name, content)
        self._placed = dict(files)

    def forget(self) -> None:
        """Empty the folder, for a reader that changes it."""
        shutil.rmtree(self.folder)
        self.folder.mkdir()
        self._placed = {}

    def _remove(self, name: str) -> None:
        path = self.folder / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _write(path: Path, content: bytes | str) -> None:
    if isinstance(content, bytes):
        try:
            _write_bytes(path, content)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_bytes(path, content)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if content == "folder":
        path.mkdir()
    elif content == "fifo":
        os.mkfifo(path)
    elif content == "eight gigabytes":
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        with open(path, "wb") as file:
            file.truncate(2**33)  # sparse: it takes no space
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    else:
        path.symlink_to({"endless": "/dev/zero", "dangling": "nowhere"}[content])


def _write_bytes(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        os.write(descriptor, content)
    finally:
        os.close(descriptor)


def digest(files: Files) -> str:
    """A name for a set of files."""
    checksum = hashlib.sha256()
    for name, content in sorted(files.items()):
        checksum.update(name.encode() + b"\0" + (content if isinstance(content, bytes) else content.encode()) + b"\0")
    return checksum.hexdigest()[:16]


def keep(files: Files, folder: Path) -> Path:
    """Write a set of files into a folder of its own, whose path is returned."""
    folder = folder / digest(files)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        path = folder / name
        if not os.path.lexists(path):
            _write(path, content)
    return folder


def kept(folder: Path) -> list[Files]:
    """The sets of files that were kept in a folder."""
    sets = []
    for one in sorted(folder.iterdir()) if folder.is_dir() else ():
        files: Files = {}
        for path in sorted(one.rglob("*")):
            content = _content(path)
            if content is not None:
                files[path.relative_to(one).as_posix()] = content
        sets.append(files)
    return sets


def _content(path: Path) -> bytes | str | None:
    if path.is_symlink():
        return "endless" if os.readlink(path) == "/dev/zero" else "dangling"
    mode = path.stat()
    if stat.S_ISFIFO(mode.st_mode):
        return "fifo"
    if stat.S_ISDIR(mode.st_mode):
        return None if any(path.iterdir()) else "folder"
    return "eight gigabytes" if mode.st_size == 2**33 else path.read_bytes()
