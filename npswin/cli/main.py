"""The command npswin: its subcommands, and errors told in a line."""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version

from npswin.cli import compare, diagnose, golden, gradcheck

DESCRIPTION = """Verify a port of Swin Transformer to another language or chip, tensor by tensor, forward and backward.

    npswin golden key --backward          write the answer key: weights, an image, every tensor and gradient
    ...                                   run the port on the key's weights and image, and dump what it computes
    npswin compare key dump               which tensors agree, and where the first error is born
    npswin diagnose key dump              which mistake it is
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: instead of the command line's.

    Returns:
        0 for success and agreement, 1 for what does not agree, 2 for a mistake of the user's, 130 after Ctrl-C, 143
        after SIGTERM.
    """
    parser = argparse.ArgumentParser(
        prog="npswin", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"npswin {version('npswin')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for command in (golden, compare, diagnose, gradcheck):
        command.add(commands)
    options = parser.parse_args(arguments)
    try:
        with _tidy_when_terminated():
            return int(options.run(options))
    except KeyboardInterrupt:
        print("\nnpswin: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename and error.strerror else ""
        print(f"npswin {options.command}: {where}{error.strerror or error}", file=sys.stderr)
        return 2
    except (ValueError, TypeError, RuntimeError) as error:
        print(f"npswin {options.command}: {error}", file=sys.stderr)
        return 2
    except MemoryError:
        print(f"npswin {options.command}: too little memory: take a smaller model or batch", file=sys.stderr)
        return 2


@contextmanager
def _tidy_when_terminated() -> Iterator[None]:
    """Let SIGTERM end the process as an exception does, so that no half-written file is left."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
