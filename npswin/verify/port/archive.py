"""Opens a .npz file, which may be damaged, or made to do damage."""

import sys
import zipfile
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from npswin.files import open_regular, shortened, shown_path
from npswin.verify.port.candidate import CandidateError

LONGEST_DIRECTORY = 16 * 2**20  # bytes, of a .npz file


def open_archive(path: Path, open_files: ExitStack) -> zipfile.ZipFile:
    """Open a .npz file; a CandidateError if it is none.

    Args:
        path: the file.
        open_files: closes it.
    """
    file = _BoundedReads(open_files.enter_context(open_regular(path, CandidateError)))
    try:
        archive = open_files.enter_context(zipfile.ZipFile(file))
    except Exception as error:  # zipfile raises what struct and codecs raise, too
        raise CandidateError(f"{shown_path(path)}: no .npz file, or a damaged one ({shortened(str(error))})") from error
    file.most = sys.maxsize  # a member's size is checked before it is read
    return archive


class _BoundedReads:
    """A file of which no single read may be long, as the one of a zip file's directory may claim to be."""

    def __init__(self, file: IO[bytes]) -> None:
        self.seek, self.tell, self.seekable, self._read = file.seek, file.tell, file.seekable, file.read
        self.most = LONGEST_DIRECTORY

    def read(self, size: int = -1) -> bytes:
        if size > self.most:
            raise ValueError(f"its directory has {size} bytes, expected at most {self.most}")
        return self._read(size)
