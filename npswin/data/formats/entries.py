"""Values of a JSON object, of the type that they have to have."""

from pathlib import PureWindowsPath
from typing import Any

from npswin.checks import shown
from npswin.data.formats.findings import EntryError

LARGEST_COORDINATE = 1e9
RANGE = f"from {-LARGEST_COORDINATE:.0f} to {LARGEST_COORDINATE:.0f}"


def is_coordinate(value: Any) -> bool:
    """Whether a value is a number, and not beyond any image."""
    return type(value) in (int, float) and -LARGEST_COORDINATE <= value <= LARGEST_COORDINATE


def check_object(entry: Any) -> dict[str, Any]:
    """A JSON object, or an EntryError."""
    if not isinstance(entry, dict):
        raise EntryError("wrong type", f"is {shown(entry)}, expected a JSON object")
    return entry


def integer_of(entry: dict[str, Any], key: str, at_least: int = 0, at_most: int = 2**63 - 1) -> int:
    """An integer in this range, or an EntryError."""
    value = _value(entry, key)
    if type(value) is not int or not at_least <= value <= at_most:
        raise EntryError("wrong type", f"{key} is {shown(value)}, expected an integer from {at_least} to {at_most}")
    return value


def number_of(entry: dict[str, Any], key: str) -> float:
    """A number, or an EntryError."""
    value = _value(entry, key)
    if not is_coordinate(value):
        raise EntryError("wrong type", f"{key} is {shown(value)}, expected a number {RANGE}")
    return float(value)


def text_of(entry: dict[str, Any], key: str) -> str:
    """A text that is not empty, or an EntryError."""
    value = _value(entry, key)
    if not isinstance(value, str) or not value:
        raise EntryError("wrong type", f"{key} is {shown(value)}, expected text")
    return value


def coordinates_of(entry: dict[str, Any], key: str, count: int) -> tuple[float, ...]:
    """A list of so many numbers, or an EntryError."""
    value = _value(entry, key)
    if not isinstance(value, list) or len(value) != count or not all(map(is_coordinate, value)):
        raise EntryError("wrong type", f"{key} is {shown(value)}, expected a list of {count} numbers {RANGE}")
    return tuple(map(float, value))


def file_name_of(entry: dict[str, Any], key: str) -> str:
    """The name of a file below a folder, or an EntryError."""
    name = text_of(entry, key)
    path = PureWindowsPath(name)  # which takes both kinds of slash
    if path.anchor or ".." in path.parts or "\0" in name:
        raise EntryError("wrong type", f"{key} is {shown(name)}, expected the name of a file in the folder of images")
    return name


def _value(entry: dict[str, Any], key: str) -> Any:
    if key not in entry:
        raise EntryError("missing key", f"has no {key!r}")
    return entry[key]
