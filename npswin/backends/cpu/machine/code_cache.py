"""Compiled code on disk, which saves compiling it again and is never a reason to stop.

Each signature of a function has a file to itself, written aside and renamed: in Numba's common index two processes that
compile at the same time can take the same place, and one then loads what the other compiled for something else. A file
begins with a checksum of its contents and of what they were compiled from. One that is damaged, or that cannot be read
or written, is reported on stderr, once in a process for each reason, and the function is compiled.
"""

import contextlib
import glob
import hashlib
import pickle
import platform
import sys
import time
from pathlib import Path
from typing import Any

import llvmlite
import numba
from numba.core.serialize import dumps

from npswin.files import write_atomically

_BACKEND = Path(__file__).parents[1]
_CHECKSUM_BYTES = 32
_DAY = 86400
_reported: set[str] = set()


def _sources_digest() -> str:
    """Of all sources of this backend, in all its packages, and of what compiles them.

    A kernel contains the code of functions of other files.
    """
    digest = hashlib.sha256()
    for path in sorted(_BACKEND.rglob("*.py")):
        digest.update(path.relative_to(_BACKEND).as_posix().encode() + b"\0" + path.read_bytes())
    config = numba.config
    compilers = numba.__version__, llvmlite.__version__, config.OPT, config.LOOP_VECTORIZE
    digest.update(repr((compilers, sys.version, platform.machine())).encode())
    return digest.hexdigest()


_DIGEST = _sources_digest()


class CodeFiles:
    """The files of one function's code, one for each signature.

    Args:
        folder: for all files.
        name: what the files' names begin with.
        stamp: changes with the function's source.
    """

    def __init__(self, folder: str, name: str, stamp: Any) -> None:
        self.folder, self.name = Path(folder), name
        self.sources = hashlib.sha256(repr((_DIGEST, stamp)).encode()).hexdigest()

    def path(self, key: Any) -> Path:
        """The file of a signature."""
        digest = hashlib.sha256(repr(key).encode()).hexdigest()
        return self.folder / f"{self.name}-{self.sources[:8]}-{digest[:16]}.code"

    def _checksum(self, key: Any, code: bytes) -> bytes:
        return hashlib.sha256(repr((self.sources, key)).encode() + b"\0" + code).digest()

    def save(self, key: Any, data: Any) -> None:
        """Write the code of a signature, unless the system refuses, and remove files of older sources."""
        code = dumps(data)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            contents = self._checksum(key, code) + code
            write_atomically(self.path(key), lambda file: file.write(contents), sync=False)
        except OSError as error:
            _report("cannot be saved", f"{self.folder}: {error.strerror}; the next process compiles again")
        self._clear_out()

    def load(self, key: Any) -> Any:
        """The code of a signature, or None where it is not on disk, or not as it was written."""
        path = self.path(key)
        try:
            contents = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            _report("cannot be read", f"{path}: {error.strerror}; compiling instead")
            return None
        code = contents[_CHECKSUM_BYTES:]
        if contents[:_CHECKSUM_BYTES] != self._checksum(key, code):
            _report("is damaged", f"{path}; compiling instead")
            return None
        # Numba's format: its objects around the machine code. The folder is the user's own, as that of Python's .pyc
        # files is; whoever can write to it can run code anyway. The checksum keeps out damage, not an attacker.
        return pickle.loads(code)

    def _clear_out(self) -> None:
        """Remove what older sources left behind, unless a process that runs them may have written it today."""
        patterns = (f"{glob.escape(self.name)}-*.code", f".{glob.escape(self.name)}-*.partial")
        for path in (path for pattern in patterns for path in self.folder.glob(pattern)):
            with contextlib.suppress(OSError):
                outdated = f"-{self.sources[:8]}-" not in path.name or path.suffix == ".partial"
                if outdated and path.stat().st_mtime < time.time() - _DAY:
                    path.unlink()


def _report(problem: str, details: str) -> None:
    if problem not in _reported:
        _reported.add(problem)
        print(f"npswin: compiled code {problem}: {details}", file=sys.stderr, flush=True)
