"""The arguments and outputs that compare and diagnose share."""

import argparse
import json
from functools import partial
from os.path import exists, isfile
from pathlib import Path
from typing import Any, BinaryIO

from npswin.files import write_atomically
from npswin.verify.key.read import AnswerKey
from npswin.verify.port.candidate import PRECISIONS
from npswin.verify.port.cases import Cases
from npswin.verify.port.comparison import Comparison, cases_line
from npswin.verify.port.diagnosis import Diagnosis
from npswin.verify.port.summary import comparison_report

KEY_FILES = ("manifest.json", "key.safetensors")


def add_key_and_candidate(parser: argparse.ArgumentParser) -> None:
    """Add KEY, CANDIDATE, --precision, --html and --json."""
    parser.add_argument(
        "key", type=Path, metavar="KEY", help="the folder that npswin golden wrote; for compare also a dump"
    )
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
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print JSON instead of text")
    output.add_argument(
        "--summary", action="store_true", help="print at most ten lines, for a bug report: versions, first divergence"
    )


def are_dumps(options: argparse.Namespace) -> bool:
    """Whether there is something at the first path, and no answer key in it.

    Raises:
        ValueError: the second path is the key, or the first one of its two files.
    """
    if not exists(options.key / "manifest.json") and exists(options.candidate / "manifest.json"):
        raise ValueError(f"{options.candidate} is the answer key: expected the key first, then the dump")
    if _is_file_of_key(options.key) and not _is_file_of_key(options.candidate):
        raise ValueError(f"{options.key}: a file of an answer key, expected the key's folder, {options.key.parent}")
    return exists(options.key) and not any(exists(options.key / name) for name in KEY_FILES)


def _is_file_of_key(path: Path) -> bool:
    return path.name in KEY_FILES and all(isfile(path.with_name(name)) for name in KEY_FILES)


def read_key_and_candidate(options: argparse.Namespace) -> Cases:
    """Read the key and the candidate, all cases."""
    return Cases(AnswerKey(options.key), options.candidate, options.precision)


def print_report(cases: Cases, comparison: Comparison, diagnosis: Diagnosis | None = None) -> None:
    """Print at most ten lines: the first case that does not agree, else the first case."""
    comparisons = [comparison, *comparison.cases]
    wrong = next((number for number, one in enumerate(comparisons) if not one.case_ok), 0)
    comparer = list(cases.comparers.values())[wrong]
    print(comparison_report(comparer, comparisons[wrong], diagnosis and [diagnosis, *diagnosis.cases][wrong]))
    if comparison.cases and comparison.ok:
        print(cases_line(comparison))


def print_json(value: Any) -> None:
    """Print a value as JSON on standard output."""
    print(json.dumps(value, indent=1, allow_nan=False))


def write_pages(path: Path | None, cases: Cases, comparison: Comparison, diagnosis: Diagnosis | None = None) -> None:
    """Write the page, if a path is given, and that of the case CASE as NAME.CASE.html beside it.

    Each file is complete or not written at all.
    """
    if path is None:
        return
    from npswin.verify.page import comparison_page

    diagnoses = [None] * len(cases.comparers) if diagnosis is None else [diagnosis, *diagnosis.cases]
    for comparer, one, its in zip(cases.comparers.values(), [comparison, *comparison.cases], diagnoses, strict=True):
        text = comparison_page(comparer, one, its).encode()
        target = path if one is comparison else path.with_name(f"{path.stem}.{one.case}{path.suffix}")
        write_atomically(target, partial(_write, text))


def _write(text: bytes, file: BinaryIO) -> None:
    file.write(text)


def exit_status(comparison: Comparison) -> int:
    """2 if a tensor could not be read, 1 if one does not agree, else 0; of all cases."""
    unreadable = any(one.unreadable for one in (comparison, *comparison.cases))
    return 2 if unreadable else 0 if comparison.ok else 1
