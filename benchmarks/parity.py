"""npswin against independent implementations in float64: the table of largest relative errors.

    python benchmarks/parity.py

Needs pip install 'npswin[peers]', and is run from the repository's folder.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.peers.comparison import compare
from tests.peers.reference import CASES, SWIN_TRANSFORMER_PYTORCH_CASES, run


def main() -> None:
    """Print the table."""
    print("| peer | configuration | images | logits | dx | parameters | worst parameter |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for case in CASES + SWIN_TRANSFORMER_PYTORCH_CASES:
        errors = compare(case, run(case))
        images = "×".join(map(str, case.images))
        figures = f"{errors.logits:.1e} | {errors.dimages:.1e} | {errors.parameter:.1e} | {errors.worst}"
        print(f"| {case.peer} | {case.name} | {images} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
