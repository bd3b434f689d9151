"""Errors of a run's files."""

from npswin.files import FileError
from npswin.weights import WeightFileError


class RunFolderError(FileError):
    """A folder that this run cannot use, or a file in it; the message has its path and the reason."""


class CheckpointError(RunFolderError, WeightFileError):
    """A checkpoint that is damaged, or of another run; the message has its path and the reason."""
