"""Names of classes from a text file."""

from os import PathLike

from npswin.checks import check_path
from npswin.data.errors import DataFileError
from npswin.files import listed, read_bytes, shown_path

LARGEST_FILE = 2**20  # bytes


def read_class_names(path: str | PathLike[str]) -> tuple[str, ...]:
    """Read the names of classes, one in each line, in the order of their labels.

    Args:
        path: a text file in UTF-8.

    Raises:
        DataFileError: the file cannot be read, has no name, an empty line between names, or a name twice.
    """
    path = check_path("path", path, DataFileError)
    try:
        text = read_bytes(path, DataFileError, LARGEST_FILE).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataFileError(f"{shown_path(path)}: is no text in UTF-8 ({error.reason})") from error
    names = tuple(line.strip() for line in text.strip().splitlines())
    if not names or "" in names:
        raise DataFileError(
            f"{shown_path(path)}: has {'an empty line' if names else 'no name'}, expected a name in each line"
        )
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataFileError(f"{shown_path(path)}: has names twice: {listed(twice)}")
    return names
