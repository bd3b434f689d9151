"""The number of threads, and libraries of the `train` extra, which are imported only where they are used."""

import importlib
from typing import Any

from npswin.backends import set_thread_count


def import_optional(module: str) -> Any:
    """Import a module of a library in the `train` extra.

    Args:
        module: its full name, such as "matplotlib.figure".

    Returns:
        The module.

    Raises:
        ImportError: it is not installed; the message gives the pip command.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        name = module.partition(".")[0]
        raise ImportError(f"{name} is not installed; pip install 'npswin[train]'") from error


def set_threads(count: int) -> None:
    """Limit the threads of the kernels and of the BLAS library under NumPy, from now on and for the whole process.

    Args:
        count: number of threads, at least 1.

    Raises:
        ValueError: `count` is below 1.
        ImportError: threadpoolctl is not installed.
    """
    if count < 1:
        raise ValueError(f"threads: got {count}, expected at least 1")
    import_optional("threadpoolctl").threadpool_limits(count, user_api="blas")
    set_thread_count(count)
