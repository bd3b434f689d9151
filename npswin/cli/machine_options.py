"""Options of programs that compute on the CPU: backend and threads."""

import argparse

from npswin.backends import get_backend, set_backend
from npswin.checks import check_integer
from npswin.training import set_threads


def add_machine_options(parser: argparse.ArgumentParser) -> None:
    """Add --backend and --threads."""
    parser.add_argument(
        "--backend", default=get_backend(), help="backend on the CPU: numpy or cpu (default: %(default)s)"
    )
    parser.add_argument("--threads", type=int, metavar="N", help="number of threads (default: one per core)")


def set_machine(arguments: argparse.Namespace) -> None:
    """Threads and backend of `add_machine_options`.

    Raises:
        ValueError: there is no such number of threads, or no such backend.
    """
    if arguments.threads is not None:
        set_threads(check_integer("--threads", arguments.threads, at_least=1))
    try:
        set_backend(arguments.backend)
    except ValueError as error:
        raise ValueError(f"--{error}") from error
