"""The tensor of the key that an unknown name of a dump probably means."""

import re
from collections.abc import Collection, Iterator
from difflib import get_close_matches

from npswin.verify.graph import GRADIENT_PREFIX
from npswin.verify.port.module_names import names_in_the_key, same_tensor

LONGEST_NAME = 200  # letters of an unknown name that are looked at


def similar_name(unknown: str, names: Collection[str]) -> str:
    """The name of the key that an unknown name probably means, or "".

    A prefix may be in front of it, it may be that of another project's module, or its beginning may be left out.

    Args:
        unknown: the dump's name.
        names: the key's.
    """
    backward = GRADIENT_PREFIX if unknown.startswith(GRADIENT_PREFIX) else ""
    path = re.sub(r"[/:]+", ".", unknown.removeprefix(backward)[:LONGEST_NAME])
    own = [name.removeprefix(GRADIENT_PREFIX) for name in names if name.startswith(GRADIENT_PREFIX) == bool(backward)]
    known = set(own)
    for part in _without_prefixes(path):
        for name in names_in_the_key(part):
            if found := name if name in known else same_tensor(name, known):
                return backward + found
    for part in _without_prefixes(path):
        for name in dict.fromkeys(names_in_the_key(part)):
            if found := next((one for one in own if "." in name and one.endswith(f".{name}")), ""):
                return backward + found
    translated = [name for part in _without_prefixes(path) for name in names_in_the_key(part)]
    for name in dict.fromkeys(translated):
        if close := get_close_matches(name, own, 1, cutoff=0.75):
            return backward + close[0]
    close = get_close_matches(path, own, 1)
    return backward + close[0] if close else ""


def _without_prefixes(path: str) -> Iterator[str]:
    """The path, and the path without its first parts, the longest first."""
    parts = path.split(".")
    for start in range(len(parts)):
        yield ".".join(parts[start:])
