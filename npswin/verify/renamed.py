"""Old names of attributes: they still work for one version and warn."""

import warnings
from typing import Any


def renamed_attribute(old: str, new: str) -> property:
    """A read-only attribute that returns another one and warns.

    Args:
        old: the old name, for the warning.
        new: the attribute to read.
    """

    def read(self: Any) -> Any:
        warn_renamed(old, new, stacklevel=4)
        return getattr(self, new)

    return property(read)


def warn_renamed(old: str, new: str, stacklevel: int = 3) -> None:
    """Warn that a name was replaced by another one."""
    warnings.warn(f"{old} is now called {new}; the old name will be removed", DeprecationWarning, stacklevel=stacklevel)
