"""The arguments and outputs that compare and diagnose share."""

import argparse
import json
from os.path import exists
from pathlib import Path
from typing import Any

from npswin.files import write_atomically
from npswin.verify.key.read import AnswerKey
from npswin.verify.port.candidate import PRECISIONS
from npswin.verify.port.comparer import Comparer
from npswin.verify.port.comparison import Comparison
from npswin.verify.port.diagnosis import Diagnosis
from npswin.verify.port.read_dump import read_candidate


def add_key_and_candidate(parser: argparse.ArgumentParser) -> None:
    """Add KEY, CANDIDATE, --precision, --html and --json."""
    parser.add_argument("key", type=Path, metavar="KEY", help="the folder that npswin golden wrote")
    parser.add_argument(
        "candidate",
        type=Path,
        metavar="CANDIDATE",
        help="the port's tensors: a safetensors or .npz file, or a folder of NAME.npy, or of raw NAME.bin with "
        "shapes.json; any of the key's tensors, in any dtype",
    )
    parser.add_argument(
        "--precision",
        choices=(*PRECISIONS, "tf32", "int8"),
        help="in which the port computes; if not given, it is determined from the port's numbers, except tf32, which "
        "PyTorch uses on GPUs, and int8, which is float32 with int8 factors of matrix products",
    )
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help="write a page: the model as a graph, tensors as images"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def read_key_and_candidate(options: argparse.Namespace) -> Comparer:
    """Read the key and the candidate."""
    if not exists(options.key / "manifest.json") and exists(options.candidate / "manifest.json"):
        raise ValueError(f"{options.candidate} is the answer key: expected the key first, then the dump")
    key = AnswerKey(options.key)
    return Comparer(key, read_candidate(options.candidate, key.shapes), options.precision)


def print_json(value: Any) -> None:
    """Print a value as JSON on standard output."""
    print(json.dumps(value, indent=1, allow_nan=False))


def write_page(
    path: Path | None, comparer: Comparer, comparison: Comparison, diagnosis: Diagnosis | None = None
) -> None:
    """Write the page, if a path is given. The file is complete or not written at all."""
    if path is not None:
        from npswin.verify.page import comparison_page

        text = comparison_page(comparer, comparison, diagnosis)
        write_atomically(path, lambda file: file.write(text.encode()))
