"""npswin compare: a port beside the answer key."""

import argparse
import shlex
from typing import Any

from npswin.cli.shared import Told, add_key_and_candidate, comparer, print_json, write_page
from npswin.verify.port.comparison import UNREADABLE
from npswin.verify.port.report import comparison_json, comparison_summary, comparison_table

DESCRIPTION = """Compare what a port dumped with the answer key, tensor by tensor, in order of computation.

A tensor "agrees" if it is as near to the key as the port's precision allows; the tolerance is what the same computation
comes to in that precision. If it does not, it is either "inherited": its operation is right for the port's own inputs,
which were wrong already; or "BORN HERE": its operation makes something else of the port's own inputs.

The exit status is 0 if all tensors agree, 1 if one does not or has a name that the key does not know, 2 if something
cannot be read.
"""


def add(commands: Any) -> None:
    """Tell the command line of it."""
    parser = commands.add_parser(
        "compare",
        help="which tensors of a port agree, and where an error is born",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_key_and_candidate(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Compare, print, and tell by the exit status."""
    both = comparer(options)
    with Told() as told:
        comparison = both.compare(told)
    if options.json:
        print_json(comparison_json(comparison))
    else:
        print(comparison_table(comparison))
        print()
        print(comparison_summary(comparison))
        if any(row.verdict != UNREADABLE for row in comparison.births()):
            paths = shlex.join([str(options.key), str(options.candidate)])
            precision = f" --precision {options.precision}" if options.precision else ""
            print(f"npswin diagnose {paths}{precision} looks for the mistake")
    write_page(options.html, both, comparison)
    return 2 if comparison.unread else 0 if comparison.ok else 1
