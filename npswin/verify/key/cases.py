"""The cases of an answer key: further keys in subfolders, of another model or for images of another size or number."""

import re
from typing import Any

from npswin.checks import shown
from npswin.verify.graph import GRADIENT_PREFIX

MOST_CASES = 64
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")


def check_case_names(where: str, names: Any) -> tuple[str, ...]:
    """The names of a key's cases; a ValueError unless each is the name of a folder, and none is there twice.

    Args:
        where: they come from, for messages.
        names: the names.
    """
    if not isinstance(names, list | tuple) or len(names) > MOST_CASES:
        raise ValueError(f"{where}: got {shown(names)}, expected a list of at most {MOST_CASES} names of folders")
    for name in names:
        if not isinstance(name, str) or not _NAME.fullmatch(name) or f"{name}/" == GRADIENT_PREFIX:
            raise ValueError(f"{where}: got {shown(name)}, expected the name of a folder such as even")
    if len(set(names)) < len(names):
        raise ValueError(f"{where}: got {shown(names)}, expected different names")
    return tuple(names)
