"""Empty objects in place of those whose classes PyTorch's safe reader refuses."""

import itertools
import re
from collections import OrderedDict
from typing import Any

_REFUSED = re.compile(r"Unsupported global: GLOBAL (\S+) was not an allowed global")
_WRONG_KIND = re.compile(r"Can only (SETITEM|append|extend).* but got <class 'npswin\.weights\.stand_ins\.(\w+)'>")
_NUMBERS = itertools.count()


class Ignored:
    """Stands for an object of another class than those of tensors; of what it is made, its attributes are kept.

    Attributes:
        state: the object's attributes by name, where the file has them.
    """

    state: Any = None

    def __new__(cls, *_: Any, **__: Any) -> Any:
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state


class IgnoredDict(Ignored):
    """For a kind of dictionary: the reader puts items into a true one only."""

    def __new__(cls, *_: Any, **__: Any) -> Any:
        return OrderedDict()


class IgnoredList(Ignored):
    """For a kind of list."""

    def __new__(cls, *_: Any, **__: Any) -> Any:
        return []


def stand_in(kind: type[Ignored] = Ignored) -> Any:
    """A class of its own for each class of the file, so that the reader's message shows which one it is about."""
    number = next(_NUMBERS)
    return type(f"Ignored{number}", (kind,), {"__module__": __name__, "__qualname__": f"Ignored{number}"})


def add_stand_in(message: str, stand_ins: dict[str, Any]) -> bool:
    """Add or change the stand-in that a message of the safe reader is about; whether that was possible.

    Args:
        message: of the error that it raised.
        stand_ins: by the name of the class in the file.
    """
    if (refused := _REFUSED.search(message)) and refused[1] not in stand_ins:
        stand_ins[refused[1]] = stand_in()
        return True
    if wrong := _WRONG_KIND.search(message):
        for name, one in stand_ins.items():
            if one.__qualname__ == wrong[2] and one.__base__ is Ignored:
                stand_ins[name] = stand_in(IgnoredDict if wrong[1] == "SETITEM" else IgnoredList)
                return True
    return False
