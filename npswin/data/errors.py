"""Errors of data files and downloads."""

from typing import NamedTuple

from npswin.files import FileError


class DataUnavailableError(OSError):
    """The data is not on this machine and cannot be downloaded; the message is one line."""


class DataFileError(FileError):
    """A data file is missing or wrong; the message has its path and the reason."""


class Finding(NamedTuple):
    """One thing that is wrong with a data set.

    Attributes:
        kind: such as "empty box".
        where: the file, or the number of an entry in it.
        text: what was found.
    """

    kind: str
    where: str
    text: str


class AnnotationError(DataFileError):
    """Annotations or images are damaged, or contradict each other.

    The message counts what is wrong by kind, and has the first findings.

    Attributes:
        counts: number of findings of each kind.
        findings: the findings; of very many, the first ones.
    """

    counts: dict[str, int]
    findings: tuple[Finding, ...]
