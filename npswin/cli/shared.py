"""What compare and diagnose have in common."""

import argparse
import json
from pathlib import Path
from typing import Any

from tqdm import tqdm

from npswin.verify.key.read import AnswerKey
from npswin.verify.port.candidate import PRECISIONS, read_candidate
from npswin.verify.port.comparison import Comparer, Comparison
from npswin.verify.port.diagnosis import Diagnosis
from npswin.weights.files import write_atomically


def add_key_and_candidate(parser: argparse.ArgumentParser) -> None:
    """KEY, CANDIDATE, --precision, --html, --json."""
    parser.add_argument("key", type=Path, metavar="KEY", help="the folder that npswin golden wrote")
    parser.add_argument(
        "candidate",
        type=Path,
        metavar="CANDIDATE",
        help="what the port dumped: a safetensors or .npz file, or a folder of NAME.npy, or of raw NAME.bin with "
        "shapes.json; any of the key's tensors, in any dtype",
    )
    parser.add_argument(
        "--precision",
        choices=(*PRECISIONS, "tf32"),
        help="in which the port computes; if not given, its numbers tell, but for tf32, which PyTorch takes on GPUs",
    )
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help="write a page: the model as a graph, tensors as images"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def comparer(options: argparse.Namespace) -> Comparer:
    """The key and the candidate, read."""
    if not (options.key / "manifest.json").exists() and (options.candidate / "manifest.json").exists():
        raise ValueError(f"{options.candidate} is the answer key: it comes first, then the dump")
    key = AnswerKey(options.key)
    return Comparer(key, read_candidate(options.candidate, key.shapes), options.precision)


def print_json(value: Any) -> None:
    """As JSON on standard output."""
    print(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False))


def write_page(path: Path | None, both: Comparer, comparison: Comparison, diagnosis: Diagnosis | None = None) -> None:
    """Write the page, whole or not at all, if one is asked for."""
    if path is not None:
        from npswin.verify.page import comparison_page

        text = comparison_page(both, comparison, diagnosis)
        write_atomically(path, lambda file: file.write(text.encode()))


class Told:
    """Progress on a terminal, for each piece of work that takes more than two seconds; call it with what it is, how
    much is done, of how much."""

    def __init__(self) -> None:
        self.what, self.bar = "", tqdm(disable=True)

    def __call__(self, what: str, done: int, total: int) -> None:
        if (what, total) != (self.what, self.bar.total):
            self.bar.close()
            self.what = what
            self.bar = tqdm(desc=what, total=total, delay=2, leave=False, dynamic_ncols=True, disable=None)
        self.bar.update(done - self.bar.n)

    def __enter__(self) -> "Told":
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()
