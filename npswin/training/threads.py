"""How many threads compute."""

from npswin.backends import set_thread_count
from npswin.training.optional import require


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
    require("threadpoolctl").threadpool_limits(count, user_api="blas")
    set_thread_count(count)
