"""What programs that train have in common: options of a run, and how they end."""

import argparse
import io
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from npswin.backends import get_backend, set_backend
from npswin.checks import check_integer
from npswin.training import NonFiniteError, TrainingInterrupted, set_threads


def add_run_options(parser: argparse.ArgumentParser, run_folder: str) -> None:
    """Options that any run has.

    Args:
        parser: gets them.
        run_folder: that is used without --out, as --help says it.
    """
    add = parser.add_argument
    add(
        "--seed",
        type=int,
        default=0,
        help="seed of the weights, the order of the images and the augmentation (default: 0)",
    )
    add("--dtype", choices=["float32", "float64"], default="float32", help="dtype of the model (default: float32)")
    add("--backend", default=get_backend(), help="backend on the CPU: numpy or cpu (default: %(default)s)")
    add("--threads", type=int, help="number of threads (default: one per core)")
    weights = "start from these weights, and normalize images as the run did that they are from; also on --resume"
    add("--weights", type=Path, metavar="FILE", help=weights)
    add("--new-head", action="store_true", help="with --weights: draw the head anew, as for other classes")
    add("--out", type=Path, help=f"the run's folder (default: {run_folder})")
    add("--resume", action="store_true", help="continue the run in its folder; needs the same arguments")
    repair = "continue a run whose files are damaged, with what is left of them, and keep copies of the damaged ones"
    add("--repair", action="store_true", help=repair)


def set_machine(arguments: argparse.Namespace) -> None:
    """Threads and backend of `add_run_options`.

    Raises:
        ValueError: there is no such number of threads, or no such backend.
    """
    if arguments.threads is not None:
        set_threads(check_integer("threads", arguments.threads, at_least=1))
    set_backend(arguments.backend)


def run_program(parse: Callable[[], argparse.Namespace], train: Callable[[Any], None]) -> int:
    """Run a program, with a line on stderr for what went wrong.

    Args:
        parse: reads the command's arguments, with those of `add_run_options`.
        train: does what they say.

    Returns:
        The exit status: 0, 1 for NaN or infinity, 2 for other errors, 128 + signal.
    """
    name = Path(sys.argv[0]).name
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may lack letters such as ×
    try:
        arguments = parse()
        train(arguments)
    except TrainingInterrupted as interrupt:
        given = [argument for argument in sys.argv if argument != "--repair"]
        command = shlex.join([sys.executable, *given] + ["--resume"] * (not arguments.resume))
        print(f"{interrupt}\nresume with: {command}", file=sys.stderr)
        return 128 + interrupt.signal_number
    except KeyboardInterrupt:
        print("aborted", file=sys.stderr)
        return 130
    except NonFiniteError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        print(f"{name}: error: {error}", file=sys.stderr)
        return 2
    return 0
