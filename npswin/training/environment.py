"""The number of threads, and libraries of the `train` extra, which are imported only where they are used."""

import importlib
from typing import Any

from npswin.backends import set_thread_count
from npswin.backends.dispatcher import MOST_THREADS
from npswin.checks import check_integer
from npswin.data.reading_threads import limit_reading_threads


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
    """Limit the threads of the kernels, of the BLAS library under NumPy, and those that read files.

    The limit holds from now on, for the whole process.

    Args:
        count: number of threads, 1 to 4096.

    Raises:
        ValueError: `count` is out of its range.
        ImportError: threadpoolctl is not installed.
    """
    count = check_integer("count", count, 1, MOST_THREADS)
    import_optional("threadpoolctl").threadpool_limits(count, user_api="blas")
    set_thread_count(count)
    limit_reading_threads(count)
