"""Errors of data files and downloads."""

from npswin.files import FileError


class DataUnavailableError(OSError):
    """The data is not on this machine and cannot be downloaded; the message is one line."""


class DataFileError(FileError):
    """A data file is missing or wrong; the message has its path and the reason."""
