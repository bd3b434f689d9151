"""Reads mutated files through every public function that reads a file, and reports what goes wrong.

    python -m tests.tools.fuzz_files                              each door, 2,000 files
    python -m tests.tools.fuzz_files dump-npz key --seconds 600   these doors, ten minutes each
    python -m tests.tools.fuzz_files --count 200000 --seed 1      other files than with seed 0

A door is a function that reads files of one kind; `tests/tools/fuzzing/doors/` has them. Whatever is in a file, the
function has to raise its documented class, with a message of fewer than 2,000 characters that names the file, or to
return what is right, within 5 seconds, and with at most 230 MiB of memory above what the process had before. Anything
else is a finding: it is printed, with a folder that holds the file, and the exit status is 1.

Files that lead to an outcome that was not seen before are kept, and mutated further, in this run and in later ones.
Needs a Unix system, for its timer and its memory statistics; run it with NPSWIN_BACKEND=numpy.
"""

import argparse
import contextlib
import os
import re
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.tools.fuzzing.doors import doors
from tests.tools.fuzzing.doors.door import LONGEST_MESSAGE, Door, Sample, Wrong, normalized
from tests.tools.fuzzing.mutations import mutate
from tests.tools.fuzzing.workspace import Files, Workspace, digest, keep, kept

LONGEST_READ = 5  # seconds
MOST_MEMORY = 230  # MiB above what the process has when a door is opened, which may have imported PyTorch for another
ADDRESS_SPACE = 8 * 2**30  # bytes; more is refused to the process, so that it does not take the machine's memory
LARGEST_WRITE = 2**26  # bytes of a file that a reader writes, so that it does not fill the disk
MOST_KEPT = 3000  # sets of files of a door
LARGEST_KEPT = 2**18  # bytes


class Hang(BaseException):
    """Raised by the timer; no reader catches it."""


@dataclass
class Entry:
    """Files to mutate, the valid ones that they come from, and whether only bytes were mutated so far."""

    files: Files
    seed: Files
    only_bytes: bool


@dataclass
class Result:
    """The figures of one door, and its findings: by what went wrong a folder with the file."""

    door: str
    files: int = 0
    accepted: int = 0
    outcomes: int = 0
    seconds: float = 0.0
    peak: float = 0.0
    findings: dict[str, Path] = field(default_factory=dict)


def fuzz(door: Door, folder: Path, kept_folder: Path, rng: Random, count: int, seconds: float) -> Result:
    """Read mutated files through a door.

    Args:
        door: the function.
        folder: an empty one, on a file system in memory.
        kept_folder: for the files that are kept, and the findings.
        rng: draws the mutations.
        count, seconds: how many files, at most for how long.
    """
    result, workspace = Result(door.name), Workspace(folder)
    corpus = [Entry(seed, seed, True) for seed in door.seeds]
    # of these seeds: what is right for others, such as those of another version, would not be for these
    all_seeds = {
        f"{number}/{name}": content for number, seed in enumerate(door.seeds) for name, content in seed.items()
    }
    own_folder = kept_folder / f"{door.name}-{digest(all_seeds)}"
    corpus += [Entry(files, door.seeds[0], False) for files in kept(own_folder)]
    seeds, outcomes = len(door.seeds), set[str]()
    reset_peak()
    largest = peak_memory() + MOST_MEMORY
    start = time.monotonic()
    while result.files < count and time.monotonic() - start < seconds:
        if result.files < len(corpus) and corpus[result.files].files:
            entry = corpus[result.files]  # first, each as it is
        else:
            entry = mutant(rng.choice(corpus[:seeds] if rng.random() < 0.4 else corpus), rng, corpus, door.mutated)
        outcome, finding = read(door, workspace, entry, result.files)
        if finding is not None and finding.startswith("hang"):  # or the machine had no time for this process
            outcome, finding = read(door, workspace, entry, result.files)
        result.files += 1
        result.accepted += outcome.startswith("accepted")
        peak = peak_memory()
        if finding is None and peak > max(largest, result.peak + 1):
            finding = f"memory: more than {MOST_MEMORY} MiB"
        result.peak = max(result.peak, peak)
        if finding is not None and finding not in result.findings:
            result.findings[finding] = keep(entry.files, kept_folder / "findings" / door.name)
            print(f"{door.name}: {finding}\n    {result.findings[finding]}", file=sys.stderr)
        if outcome not in outcomes:
            outcomes.add(outcome)
            if entry.files and len(corpus) < MOST_KEPT and sum(map(len, entry.files.values())) < LARGEST_KEPT:
                corpus.append(entry)
                keep(entry.files, own_folder)
        if result.files % 500 == 0:
            show_progress(result, time.monotonic() - start)
    result.seconds, result.outcomes = time.monotonic() - start, len(outcomes)
    return result


def mutant(parent: Entry, rng: Random, corpus: list[Entry], names: tuple[str, ...]) -> Entry:
    """A mutant of some files, perhaps spliced with other ones."""
    files, only_bytes = mutate(parent.files, rng, rng.choice(corpus).files, names)
    return Entry(files, parent.seed, parent.only_bytes and only_bytes)


def read(door: Door, workspace: Workspace, entry: Entry, number: int) -> tuple[str, str | None]:
    """Read files through a door.

    Returns:
        The outcome, without what depends on the single file; what is wrong with it, or None.
    """
    if door.changes_files:
        workspace.forget()
    workspace.place(entry.files)
    sample = Sample(workspace.folder, entry.files, entry.seed, entry.only_bytes, number)
    start = time.monotonic()
    try:
        signal.setitimer(signal.ITIMER_REAL, LONGEST_READ)
        try:
            outcome, finding = f"accepted: {door.read(sample)}", None
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except door.errors as error:
        message = str(error)
        outcome, finding = f"{type(error).__name__}: {normalized(message, workspace.folder)}", None
        if len(message) >= LONGEST_MESSAGE:
            finding = f"a message of more than {LONGEST_MESSAGE} characters: {outcome}"
        elif str(workspace.folder) not in message:
            finding = f"the message does not name the file: {outcome}"
    except Hang:
        outcome = finding = f"hang: more than {LONGEST_READ} s"
    except Wrong as error:
        outcome = finding = f"wrong: {normalized(str(error), workspace.folder)}"
    except Exception as error:
        place = innermost_line(error)
        outcome = finding = (
            f"undocumented: {type(error).__name__} at {place}: {normalized(str(error), workspace.folder)}"
        )
    if finding is None and time.monotonic() - start > LONGEST_READ:
        finding = f"hang: more than {LONGEST_READ} s"
    return outcome, finding


def innermost_line(error: Exception) -> str:
    """Where in npswin an exception passed last."""
    place, traceback = "?", error.__traceback__
    while traceback is not None:
        path = Path(traceback.tb_frame.f_code.co_filename)
        if "npswin" in path.parts or "tests" in path.parts:
            place = f"{path.name}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place


def reset_peak() -> None:
    """Count the largest memory from now on, where the system can."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> float:
    """The largest memory of the process so far, in MiB."""
    with contextlib.suppress(OSError):
        status = Path("/proc/self/status").read_text()
        return int(re.findall(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)[0]) / 2**10
    # where it cannot be reset; it may count what the process was before it became Python
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def show_progress(result: Result, seconds: float) -> None:
    """One line on stderr, if it is a terminal."""
    if sys.stderr.isatty():
        rate = result.files / max(seconds, 1e-9)
        print(f"\r{result.door}: {result.files} files, {rate:.0f}/s, {len(result.findings)} findings", end="\r",
              file=sys.stderr)  # fmt: skip


def print_table(results: list[Result]) -> None:
    """The figures of all doors."""
    print(
        f"{'door':17}{'files':>9}{'accepted':>10}{'refused':>9}{'outcomes':>10}{'findings':>10}{'ms/file':>9}{'MiB':>6}"
    )
    for one in results:
        refused, milliseconds = one.files - one.accepted, 1000 * one.seconds / max(one.files, 1)
        print(
            f"{one.door:17}{one.files:9}{one.accepted:10}{refused:9}{one.outcomes:10}{len(one.findings):10}"
            f"{milliseconds:9.2f}{one.peak:6.0f}"
        )


@contextlib.contextmanager
def memory_folder() -> Iterator[Path]:
    """A folder in memory, where the system has one; removed at the end."""
    shared = Path("/dev/shm")
    parent = shared if shared.is_dir() and os.access(shared, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="fuzz-", dir=parent) as folder:
        yield Path(folder)


def default_corpus() -> Path:
    """A folder in the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "npswin-fuzz"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("doors", nargs="*", metavar="DOOR", help="all if not given")
    parser.add_argument("--count", type=int, help="files for each door (default 2000)")
    parser.add_argument("--seconds", type=float, help="for each door, instead of a count")
    parser.add_argument("--seed", type=int, default=0, help="of the mutations (default 0)")
    parser.add_argument("--corpus", type=Path, default=default_corpus(), help=f"(default {default_corpus()})")
    options = parser.parse_args(arguments)
    count = sys.maxsize if options.seconds else 2000
    count, seconds = options.count or count, options.seconds or float("inf")
    signal.signal(signal.SIGALRM, _raise_hang)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_WRITE, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    warnings.simplefilter("ignore")
    warnings.simplefilter("error", RuntimeWarning)
    results = []
    with memory_folder() as folder:
        makers = doors(folder)
        if unknown := set(options.doors) - makers.keys():
            parser.error(f"no door {', '.join(sorted(unknown))}; there are {', '.join(makers)}")
        for name in options.doors or makers:
            door = makers[name]()
            files = folder / f"files-{name}"
            files.mkdir()
            rng = Random(f"{options.seed} {name}")
            results.append(fuzz(door, files, options.corpus, rng, count, seconds))
            print(f"{name}: {results[-1].files} files, {len(results[-1].findings)} findings", file=sys.stderr)
    print_table(results)
    for result in results:
        for finding, path in result.findings.items():
            print(f"{result.door}: {finding}\n    {path}")
    print(f"seed {options.seed}: {sum(len(result.findings) for result in results)} findings")
    return int(any(result.findings for result in results))


def _raise_hang(*_: object) -> None:
    raise Hang


if __name__ == "__main__":
    sys.exit(main())
