"""npswin compare: compares a port with the answer key."""

import argparse
import shlex
from typing import Any

from npswin.cli.port_options import (
    add_key_and_candidate,
    exit_status,
    print_json,
    read_key_and_candidate,
    write_pages,
)
from npswin.cli.progress import ProgressBar
from npswin.verify.port.comparison import UNREADABLE, comparison_json

DESCRIPTION = """Compare a port's tensors with the answer key, one by one, in the order of computation.

A tensor "agrees" if its distance from the key is within the tolerance, which is computed for the port's precision. If
it does not agree, it is either "inherited": its operation is right for the port's own inputs, which are wrong already;
or "WRONG HERE": on the port's own inputs its operation gives another result.

The exit status is 0 if all tensors agree, 1 if one does not or has a name that the key does not have, 2 if a file
cannot be read.
"""


def add_parser(commands: Any) -> None:
    """Add the subcommand to the parser."""
    parser = commands.add_parser(
        "compare",
        help="which tensors of a port agree, and which one is wrong first",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_key_and_candidate(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Compare, print, and return the exit status."""
    cases = read_key_and_candidate(options)
    with ProgressBar() as progress:
        comparison = cases.compare(progress)
    if options.json:
        print_json(comparison_json(comparison))
    else:
        print(comparison)
        every = [comparison, *comparison.cases]
        if any(row.verdict != UNREADABLE for one in every for row in one.local_errors()):
            paths = shlex.join([str(options.key), str(options.candidate)])
            precision = f" --precision {options.precision}" if options.precision else ""
            print(f"npswin diagnose {paths}{precision} searches for the mistake")
    write_pages(options.html, cases, comparison)
    return exit_status(comparison)
