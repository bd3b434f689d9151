"""What compare and diagnose have in common."""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from npswin.verify.key.read import AnswerKey
from npswin.verify.port.candidate import PRECISIONS, read_candidate
from npswin.verify.port.comparison import Comparer
from npswin.weights.files import write_aside


def add_key_and_candidate(parser: argparse.ArgumentParser) -> None:
    """KEY, CANDIDATE, --precision, --json."""
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


def write_text(path: Path, text: str) -> None:
    """Write a file, whole or not at all."""
    write_aside(path, lambda file: file.write(text.encode()))


class Told:
    """Progress on a terminal, once the work takes more than two seconds; call it with what, how far, of how many."""

    def __init__(self) -> None:
        self.start = self.shown = time.monotonic()

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if sys.stderr.isatty() and now - self.start > 2 and now - self.shown > 0.1:
            self.shown = now
            print(f"\r\033[K{what}: {done} of {total}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the line away."""
        if self.shown > self.start:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
