"""The command npswin."""

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; Ctrl-C stops it without a traceback, also while its modules are imported.

    Args:
        arguments: the command line's if not given.

    Returns:
        The exit status: 0 for success and agreement, 1 for a difference, 2 for a wrong argument or file, 130 after
        Ctrl-C, 143 after SIGTERM.
    """
    try:
        from npswin.cli.main import run

        return run(arguments)
    except KeyboardInterrupt:
        print("\nnpswin: stopped", file=sys.stderr)
        return 130
