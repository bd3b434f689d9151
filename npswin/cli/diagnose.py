"""npswin diagnose: finds the mistakes of a port."""

import argparse
import sys
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
from npswin.verify.port.advice import advice_on_thin_dump, is_thin
from npswin.verify.port.comparison import comparison_summary
from npswin.verify.port.diagnosis import diagnosis_json, diagnosis_text
from npswin.verify.port.search import TIME_LIMIT_SECONDS

DESCRIPTION = """Find the mistakes of a port.

For the first wrong tensor, each mistake of a catalogue is made in the computation, which is run again on the port's own
inputs. The mistake that gives the port's numbers, within rounding, is the cause. It stays in the computation, and the
search goes on, so that several mistakes are found one after the other.

The exit status is 0 if all tensors agree, 1 if one does not or has a name that the key does not have, 2 if a file
cannot be read.
"""


def add_parser(commands: Any) -> None:
    """Add the subcommand to the parser."""
    parser = commands.add_parser(
        "diagnose",
        help="which mistake a port makes",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_key_and_candidate(parser)
    parser.add_argument(
        "--seconds",
        type=float,
        default=TIME_LIMIT_SECONDS,
        metavar="S",
        help=f"time limit of the search (default {TIME_LIMIT_SECONDS:g})",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Search, print, and return the exit status."""
    if options.seconds <= 0:
        raise ValueError(f"--seconds: got {options.seconds:g}, expected more than 0")
    if are_dumps(options):
        raise ValueError(
            f"{options.key}: no answer key (`npswin golden` writes one); npswin compare compares two dumps"
        )
    cases = read_key_and_candidate(options)
    with ProgressBar() as progress:
        comparer = next(iter(cases.comparers.values()))
        if is_thin(comparer.order) and (advice := advice_on_thin_dump(comparer.compare())):
            print(advice, file=sys.stderr, flush=True)
        diagnosis = cases.diagnose(progress, options.seconds)
    if options.json:
        print_json(diagnosis_json(diagnosis))
    elif options.summary:
        print_report(cases, diagnosis.comparison, diagnosis)
    else:
        for one in (diagnosis, *diagnosis.cases):
            heading = f"\ncase {one.comparison.case}\n\n" if one is not diagnosis else ""
            print(f"{heading}{comparison_summary(one.comparison)}\n\n{diagnosis_text(one)}")
    write_pages(options.html, cases, diagnosis.comparison, diagnosis)
    return exit_status(diagnosis.comparison)
