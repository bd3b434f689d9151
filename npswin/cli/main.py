"""The command npswin: runs its subcommands and prints errors in one line."""

import argparse
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from npswin.cli import compare, convert, diagnose, golden, gradcheck, predict
from npswin.files import message_of

DESCRIPTION = """Predict with a Swin Transformer that was trained here (examples/ has programs that train):

    npswin predict runs/first photos --out found     what the run's model finds in your images, in pictures and JSON

Verify a port of Swin Transformer to another language or chip, tensor by tensor, forward and backward:

    npswin golden key --backward          write the answer key: weights, an image, every tensor and gradient
    ...                                   run the port on the key's weights and image, and dump its tensors
    npswin compare key dump               which tensors agree, and which one is wrong first
    npswin diagnose key dump              which mistake the port makes
    npswin compare run1 run2              what differs between two runs, or before and after an export

Or take weights from elsewhere:

    npswin convert swin.pth OUT           weights of PyTorch and others as safetensors
"""


class _Parser(argparse.ArgumentParser):
    """Options are not abbreviated, also those of the subcommands, whose parsers are of the same class."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command: see `npswin.cli.main`."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may lack letters such as ×
    parser = _Parser(prog="npswin", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action="version", version=f"npswin {version('npswin')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for command in (predict, golden, compare, diagnose, gradcheck, convert):
        command.add_parser(commands)
    options, unknown = parser.parse_known_args(arguments)
    if unknown:  # the subcommand's parser leaves them to the command's, whose usage would not help
        commands.choices[options.command].error(f"unrecognized arguments: {' '.join(unknown)}")
    try:
        with _sigterm_as_exception():
            return int(options.run(options))
    except BrokenPipeError:  # the reader of the output, such as `head`, has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (OSError, ValueError, TypeError, RuntimeError, ImportError, ArithmeticError) as error:
        print(f"npswin {options.command}: {message_of(error)}", file=sys.stderr)
        return 2
    except MemoryError:
        print(f"npswin {options.command}: too little memory: use a smaller model or batch", file=sys.stderr)
        return 2


@contextmanager
def _sigterm_as_exception() -> Iterator[None]:
    """Raise SystemExit at SIGTERM, so that no half-written file is left."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
