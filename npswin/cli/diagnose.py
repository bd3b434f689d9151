"""npswin diagnose: which mistake a port makes."""

import argparse
from typing import Any

from npswin.cli.shared import Told, add_key_and_candidate, comparer, print_json, write_page
from npswin.verify.port.diagnosis import SECONDS, diagnose
from npswin.verify.port.report import comparison_summary, diagnosis_json, diagnosis_text

DESCRIPTION = """Name the mistake that a port makes.

For the first tensor that goes wrong, each mistake of a catalogue is planted in the computation, which is run again on
the port's own inputs. The mistake that makes the port's numbers, to within rounding, is the cause. It stays planted,
and the search goes on, so that several mistakes are found one after the other.

The exit status is 0 if all tensors agree, 1 if one does not or has a name that the key does not know, 2 if something
cannot be read.
"""


def add(commands: Any) -> None:
    """Tell the command line of it."""
    parser = commands.add_parser(
        "diagnose",
        help="which mistake a port makes",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_key_and_candidate(parser)
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, metavar="S", help=f"to search at most (default {SECONDS:g})"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Search, print, and tell by the exit status."""
    if options.seconds <= 0:
        raise ValueError(f"--seconds: got {options.seconds:g}, expected more than 0")
    both = comparer(options)
    with Told() as told:
        diagnosis = diagnose(both, told, options.seconds)
    if options.json:
        print_json(diagnosis_json(diagnosis))
    else:
        print(comparison_summary(diagnosis.comparison))
        print()
        print(diagnosis_text(diagnosis))
    write_page(options.html, both, diagnosis.comparison, diagnosis)
    return 2 if diagnosis.comparison.unread else 0 if diagnosis.ok else 1
