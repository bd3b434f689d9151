"""Plant single faults one at a time and check that the suite catches each.

    python -m tests.tools.plant_faults            all of them; prints the score, exit status 1 if one survives
    python -m tests.tools.plant_faults attention  those whose file or title contains this

Faults are planted in copies of the repository; the checkout is not changed.
"""

import argparse
import concurrent.futures
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from npswin.backends import why_no_bfloat16
from tests.tools.bfloat16_faults import BFLOAT16_FAULTS
from tests.tools.box_faults import BOX_FAULTS
from tests.tools.cuda_faults import CUDA_FAULTS
from tests.tools.data_faults import DATA_FAULTS
from tests.tools.detector_faults import DETECTOR_FAULTS
from tests.tools.faults import FAULTS, Fault
from tests.tools.kernel_faults import KERNEL_FAULTS
from tests.tools.scene_faults import SCENE_FAULTS
from tests.tools.training_faults import TRAINING_FAULTS
from tests.tools.verify_faults import VERIFY_FAULTS
from tests.tools.weight_faults import WEIGHT_FAULTS

ROOT = Path(__file__).resolve().parents[2]
ALL = [
    *(*FAULTS, *KERNEL_FAULTS, *CUDA_FAULTS, *BOX_FAULTS, *DATA_FAULTS, *SCENE_FAULTS, *DETECTOR_FAULTS),
    *(*TRAINING_FAULTS, *VERIFY_FAULTS, *WEIGHT_FAULTS, *BFLOAT16_FAULTS),
]


def planted(text: str, fault: Fault) -> str:
    """The file's text with the fault in it."""
    if text.count(fault.right) != 1:
        raise ValueError(
            f"{fault.file}: {fault.right!r} occurs {text.count(fault.right)} times, expected once ({fault.title})"
        )
    return text.replace(fault.right, fault.wrong)


def run_suite(fault: Fault | None, tests: tuple[str, ...]) -> tuple[bool, str]:
    """Whether the tests failed on a copy with this fault, and the first that did."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "__pycache__", "runs", "*.egg-info", "*.png"))
        if fault is not None:
            file = copy / fault.file
            file.write_text(planted(file.read_text(encoding="utf-8"), fault), encoding="utf-8")
        # Most are caught in the first folder; the others, some of which import PyTorch, run after it.
        parts = [tests] if "-k" in tests else [tests[:1], tests[1:]]
        for part in filter(None, parts):
            failed, test = run_tests(copy, part)
            if failed:
                break
    return failed, test


def run_tests(copy: Path, tests: tuple[str, ...]) -> tuple[bool, str]:
    """Whether one of these tests failed in a copy of the repository, and the first that did."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--thorough", "--no-header"]
    command += ["-p", "no:cacheprovider", *tests]
    environment = {
        **os.environ,
        "PYTHONPATH": str(copy),
        "OMP_NUM_THREADS": "1",
        "NPSWIN_BACKEND": "numpy",  # tests of a backend call it by its own name
        "HYPOTHESIS_PROFILE": "first_failure",
    }
    result = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    failed = [line for line in result.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    if result.returncode not in (0, 1):  # 1: a test ran and failed; an error in collection is no proof
        raise RuntimeError(f"pytest ended with {result.returncode}:\n{result.stdout[-2000:]}\n{result.stderr[-2000:]}")
    return result.returncode != 0, failed[0].split(" - ")[0].partition(" ")[2] if failed else ""


def changed_files(since: str) -> set[str]:
    """The paths that differ from those of a commit."""
    command = ["git", "diff", "--name-only", since]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if result.returncode:
        raise SystemExit(f"git diff {since}: {result.stderr.strip()}")
    return set(result.stdout.split())


def sample(faults: list[Fault], changed: set[str], most: int, draw: int, seed: int) -> list[Fault]:
    """Of the faults in changed files at most `most`, and `draw` of the others, in the order of the list."""
    rng = random.Random(seed)
    touched = [fault for fault in faults if fault.file in changed]
    others = [fault for fault in faults if fault.file not in changed]
    chosen = {*rng.sample(touched, min(most, len(touched))), *rng.sample(others, min(draw, len(others)))}
    return [fault for fault in faults if fault in chosen]


def main() -> int:
    """Run it; the exit status is 0 if every fault was caught."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("op", nargs="?", default="", help="only faults whose file or title contains this")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="suites to run at once (default: the cores)")
    parser.add_argument("--since", metavar="REV", help="only faults in files changed since this commit (see --draw)")
    parser.add_argument("--most", type=int, default=40, help="with --since, at most so many of these (default: 40)")
    parser.add_argument("--draw", type=int, default=0, help="with --since, so many of the other faults as well")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn (default: 0)")
    arguments = parser.parse_args()
    faults = [fault for fault in ALL if arguments.op in fault.file or arguments.op in fault.title]
    if reason := why_no_bfloat16():
        print(f"without faults in products of bfloat16 numbers: {reason}")
        faults = [fault for fault in faults if fault not in BFLOAT16_FAULTS]
    if not faults:
        parser.error(f"no fault's file or title contains {arguments.op!r}")
    if arguments.since is not None:
        faults = sample(faults, changed_files(arguments.since), arguments.most, arguments.draw, arguments.seed)
        print(
            f"{len(faults)} of {len(ALL)} faults: in files changed since {arguments.since}, and drawn with seed ",
            end="",
        )
        print(arguments.seed, flush=True)
    for fault in faults:  # fails before any run if a fault's text is not in its file
        planted((ROOT / fault.file).read_text(encoding="utf-8"), fault)
    started = time.perf_counter()
    suites = [fault.tests for fault in faults]
    survivors = 0
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        for failed, test in pool.map(lambda tests: run_suite(None, tests), sorted(set(suites))):
            if failed:
                print(f"the suite fails without any fault: {test}")
                return 1
        for fault, (caught, test) in zip(faults, pool.map(run_suite, faults, suites), strict=True):
            survivors += not caught
            print(
                f"{'caught  ' if caught else 'SURVIVED'}  {fault.file.removeprefix('npswin/')}: {fault.title}  {test}",
                flush=True,
            )
    print(f"{len(faults) - survivors} of {len(faults)} faults caught in {time.perf_counter() - started:.0f} s")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
