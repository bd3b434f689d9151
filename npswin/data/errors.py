"""What can go wrong with data that lies outside the program."""


class DataUnavailableError(OSError):
    """The data is neither here nor to be had; the message is one plain line."""


class DataFileError(ValueError):
    """A data file is there and wrong; the message names the file and what is wrong in it."""
