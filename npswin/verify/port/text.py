"""Lists of names for a line of text, the names of axes, and values for JSON."""

import math
from typing import Any


def join_names(names: list[str], most: int = 6) -> str:
    """The first few names, separated by commas, and how many more there are."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def axis_names(axes: str) -> list[str]:
    """The names of the axes in a layout such as "B, H, W, C"; an expression in parentheses is one name."""
    parts, depth, part = [], 0, ""
    for letter in axes:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and not depth:
            parts.append(part.strip())
            part = ""
        else:
            part += letter
    return [*parts, part.strip()] if axes else []


def json_value(value: Any) -> Any:
    """A value of lists, dictionaries and numbers in which NaN and infinite numbers are None."""
    if isinstance(value, dict):
        return {key: json_value(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
