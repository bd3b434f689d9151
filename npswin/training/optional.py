"""Libraries that only training needs, imported where they are used."""

import importlib
from typing import Any


def require(module: str) -> Any:
    """Import a module of the `train` extra.

    Raises:
        ImportError: it is not installed; the message says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        name = module.partition(".")[0]
        raise ImportError(f"{name} is not installed; pip install 'npswin[train]'") from error
