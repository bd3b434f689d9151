"""Old names of things that were renamed: they work for some versions and warn.

A warning is issued at the line that uses the old name. Python's default filter shows a warning once for each such line,
and a DeprecationWarning only in `__main__` and in tests; `python -W default` shows all of them.
"""

import functools
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

NEXT = "0.3.0"  # the version that no longer has the names that were replaced in this one

P = ParamSpec("P")
R = TypeVar("R")


def warn_renamed(old: str, new: str, removed_in: str = NEXT, stacklevel: int = 3) -> None:
    """Warn that a name was changed.

    Args:
        old: the name that is used.
        new: the name to use.
        removed_in: the version of npswin that no longer has the old name.
        stacklevel: whose line the warning names, counted as `warnings.warn` does: 2 is the caller of this function, 3
            that function's caller.
    """
    message = f"{old} was renamed to {new}; the old name will be removed in npswin {removed_in}"
    warnings.warn(message, DeprecationWarning, stacklevel=stacklevel)


def renamed_attribute(old: str, new: str, removed_in: str = NEXT) -> property:
    """A read-only attribute of a class under its old name: it warns and returns the attribute of the new name.

    Args:
        old: the old name.
        new: the new name.
        removed_in: the version of npswin that no longer has the old name.
    """

    def read(self: Any) -> Any:
        warn_renamed(f"{type(self).__name__}.{old}", new, removed_in)
        return getattr(self, new)

    return property(read, doc=f"Old name of `{new}`; will be removed in npswin {removed_in}.")


def renamed_attributes(module: str, new_names: Mapping[str, str], removed_in: str = NEXT) -> Callable[[str], Any]:
    """The function `__getattr__` of a module whose attributes were renamed.

        __getattr__ = renamed_attributes(__name__, {"OLD": "NEW"})

    Args:
        module: the module's name.
        new_names: the new name for each old one.
        removed_in: the version of npswin that no longer has the old names.

    Returns:
        A function that warns and returns the attribute of the new name, and raises AttributeError for other names.
    """

    def get_renamed(name: str) -> Any:
        if name not in new_names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warn_renamed(f"{module}.{name}", f"{module}.{new_names[name]}", removed_in)
        return getattr(sys.modules[module], new_names[name])

    return get_renamed


def renamed_function(old: str, function: Callable[P, R], removed_in: str = NEXT) -> Callable[P, R]:
    """A function or method under its old name: it warns and calls the function.

        class SwinTransformer:
            def feature_maps(self, images): ...
            forward_features = renamed_function("forward_features", feature_maps)

    Args:
        old: the old name.
        function: the function, which has the new name.
        removed_in: the version of npswin that no longer has the old name.

    Returns:
        The function to bind to the old name.
    """

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        warn_renamed(old, function.__name__, removed_in)
        return function(*args, **kwargs)

    call.__name__, call.__doc__ = old, f"Old name of `{function.__name__}`; will be removed in npswin {removed_in}."
    return call


class RenamedKeys(dict[str, Any]):
    """A dictionary some of whose keys were renamed: `d[old]`, `d.get(old)` and `old in d` warn and use the new key.

    Iteration, `len` and `dict(d)` have the new keys only.

    Args:
        items: the items, under the new keys.
        new_keys: the new key for each old one.
        removed_in: the version of npswin that no longer accepts the old keys.
    """

    def __init__(self, items: Mapping[str, Any], new_keys: Mapping[str, str], removed_in: str = NEXT) -> None:
        super().__init__(items)
        self._new_keys, self._removed_in = dict(new_keys), removed_in

    def _renamed(self, key: str) -> str:
        """The new key for a key; must be called by the method that the user calls."""
        if super().__contains__(key) or key not in self._new_keys:
            return key
        warn_renamed(f"the key {key!r}", repr(self._new_keys[key]), self._removed_in, stacklevel=4)
        return self._new_keys[key]

    def __getitem__(self, key: str) -> Any:
        return super().__getitem__(self._renamed(key))

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a key, or the default."""
        return super().get(self._renamed(key), default)

    def __contains__(self, key: object) -> bool:
        return super().__contains__(self._renamed(key) if isinstance(key, str) else key)
