"""npswin compare: compares a port with the answer key."""

import argparse
import shlex
from typing import Any

from npswin.cli.port_options import (
    add_key_and_candidate,
    are_dumps,
    exit_status,
    print_json,
    print_report,
    read_key_and_candidate,
    write_pages,
)
from npswin.cli.progress import ProgressBar
from npswin.verify.port.comparison import UNREADABLE, comparison_json
from npswin.verify.port.summary import dumps_report
from npswin.verify.port.two_dumps import compare_two_dumps, dumps_json

DESCRIPTION = """Compare a port's tensors with the answer key, one by one, in the order of computation.

A tensor "agrees" if its distance from the key is within the tolerance, which is computed for the port's precision. If
it does not agree, it is either "inherited": its operation is right for the port's own inputs, which are wrong already;
or "WRONG HERE": on the port's own inputs its operation gives another result.

If the first argument is a dump as well, the two dumps are compared with each other: two runs of a port, or a port
before and after a conversion. A tensor is then "equal" in every number, differs by what "rounding" may explain, or
"DIFFERS".

    npswin compare key dump
    npswin compare run1.safetensors run2.safetensors

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
    if are_dumps(options):
        return _compare_dumps(options)
    cases = read_key_and_candidate(options)
    with ProgressBar() as progress:
        comparison = cases.compare(progress)
    if options.json:
        print_json(comparison_json(comparison))
    elif options.summary:
        print_report(cases, comparison)
    else:
        print(comparison)
        every = [comparison, *comparison.cases]
        if any(row.verdict != UNREADABLE for one in every for row in one.local_errors()):
            paths = shlex.join([str(options.key), str(options.candidate)])
            precision = f" --precision {options.precision}" if options.precision else ""
            print(f"npswin diagnose {paths}{precision} searches for the mistake")
    write_pages(options.html, cases, comparison)
    return exit_status(comparison)


def _compare_dumps(options: argparse.Namespace) -> int:
    if options.html is not None:
        raise ValueError(f"--html: draws a comparison with an answer key, {options.key} is none")
    with ProgressBar() as progress:
        comparison = compare_two_dumps(options.key, options.candidate, options.precision, progress)
    if options.json:
        print_json(dumps_json(comparison))
    else:
        print(dumps_report(comparison) if options.summary else comparison)
    return 2 if comparison.unreadable else 0 if comparison.ok else 1
