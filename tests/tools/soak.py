"""Train for a long time under kills, full disks and clock jumps, and compare each run with one that nothing stopped.

    python -m tests.tools.soak --kills 200          until 200 processes were killed; a quarter of an hour on two cores
    python -m tests.tools.soak --minutes 60 --jobs 2
    python -m tests.tools.soak --task detection --kills 50 --jobs 1         or segmentation

A run begins in an empty folder and with no compiled code on disk. Its processes are killed, or get a disk that is full,
too few open files, or a clock that jumps by a day, until one of them comes to the end. Then metrics, checkpoints and
weights have to equal, byte for byte, those of a run that was compiled and trained in one go. After each process the
files that it left have to be whole: a checkpoint has its checksum, a line of metrics is a record; and the next one has
to go on with no more steps lost than there are between two checkpoints. What differs is printed with the run's seed;
the exit status is then 1.
"""

import argparse
import concurrent.futures
import contextlib
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TASKS = ("classification", "segmentation", "detection")
CHECKPOINT_EVERY = 3  # steps
COMPARED = ("metrics.jsonl", "last.safetensors", "best.safetensors", "config.json")
KILLED = ("before the first checkpoint", "while compiling", "while training")
OTHERS = ("disk full", "too few open files", "clock jumps")
ALLOWED_STATUS = {0: "finished", 2: "stopped with an error of one line", -signal.SIGKILL: "killed"}
LONGEST_LIFE = 300  # seconds


def child(task: str, folder: str, jump: bool) -> int:
    """A process of a run: resume where there is something to resume, and train to the end."""
    if jump:
        _let_the_clock_jump()
    from npswin.training import set_threads
    from tests.tools.soak_runs import RUNS

    set_threads(1)
    trainer = RUNS[task](folder)
    try:
        trainer.fit(resume=Path(folder).is_dir())
    except (ValueError, OSError, RuntimeError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    return 0


def _let_the_clock_jump() -> None:
    """From now on the time of day jumps back and forth by up to a day; the monotonic clock, as always, does not."""
    real, rng = time.time, random.Random(os.getpid())
    time.time = lambda: real() + rng.uniform(-86400, 86400)


class Run:
    """A run's folder and folder of compiled code, and the processes that work on it.

    Args:
        task: what is learned.
        folder: for both, new.
        reference: the run that nothing stopped, or None for that one itself.
    """

    def __init__(self, task: str, folder: Path, reference: "Run | None") -> None:
        self.task, self.out, self.code = task, folder / "run", folder / "code"
        self.reference = reference
        self.code.mkdir(parents=True)

    def start(self, jump: bool = False, limit: tuple[int, int] | None = None) -> "subprocess.Popen[str]":
        """Start a process, with a limit of resources (which, how much)."""
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "NUMBA_CACHE_DIR": str(self.code),
            "NPSWIN_BACKEND": "cpu",
            "OMP_NUM_THREADS": "1",
            "MPLCONFIGDIR": str(self.code),
        }

        def prepare() -> None:
            if limit is not None:
                resource.setrlimit(limit[0], (limit[1], limit[1]))

        command = [sys.executable, "-m", "tests.tools.soak", "--task", self.task, "--child", str(self.out)]
        command += ["--jump"] * jump
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True, preexec_fn=prepare
        )

    def phase(self) -> str:
        """Where a process is now."""
        if not (self.out / "last.safetensors").exists():
            return KILLED[0]
        assert self.reference is not None
        return KILLED[1] if self.compiled_functions() < self.reference.compiled_functions() else KILLED[2]

    def compiled_functions(self) -> int:
        """The number of files of compiled code."""
        return sum(1 for _ in self.code.rglob("*.code"))

    def problems(self) -> list[str]:
        """What is wrong with the files that a process left."""
        from npswin.weights import TensorFile, WeightFileError

        found = []
        for path in self.out.glob("*.safetensors"):
            try:
                if TensorFile(path).checksum is None:
                    found.append(f"{path.name} has no checksum")
            except WeightFileError as error:
                found.append(str(error))
        with contextlib.suppress(FileNotFoundError):
            for number, line in enumerate((self.out / "metrics.jsonl").read_bytes().split(b"\n")[:-1], 1):
                if json.loads(line)["step"] != number:
                    found.append(f"line {number} of metrics.jsonl is another step's")
        return found

    def differences(self) -> list[str]:
        """The files that are not those of the reference."""
        assert self.reference is not None
        return [name for name in COMPARED if (self.out / name).read_bytes() != (self.reference.out / name).read_bytes()]


class Soak:
    """Many runs; counts what was done to them and what came of it."""

    def __init__(self, task: str, folder: Path, seed: int, kills: int, seconds: float) -> None:
        self.task, self.folder, self.seed, self.kills = task, folder, seed, kills
        self.end = time.monotonic() + seconds
        self.counts: Counter[str] = Counter()
        self.findings: list[str] = []
        self.most_lost = 0  # steps, of any process that resumed
        self._lock = threading.Lock()
        self.reference = Run(task, folder / "reference", None)

    def train_reference(self) -> float:
        """Train the run that nothing stops; returns its seconds."""
        start = time.monotonic()
        process = self.reference.start()
        _, error = process.communicate()
        if process.returncode:
            raise SystemExit(f"the run that nothing stopped ended with {process.returncode}: {error}")
        return time.monotonic() - start

    def is_enough(self) -> bool:
        """Whether there were as many kills as asked for, or the time is over."""
        return sum(self.counts[phase] for phase in KILLED) >= self.kills or time.monotonic() > self.end

    def run(self, number: int) -> None:
        """One run from an empty folder to its end."""
        rng = random.Random(f"{self.seed}/{number}")
        run = Run(self.task, self.folder / str(number), self.reference)
        is_finished = False
        while not is_finished and len(self.findings) < 10:
            is_finished = self._life(run, rng, number)
        if is_finished:
            different = run.differences()
            self._count("runs that came to the end")
            if different:
                self._find(number, f"differs in {', '.join(different)} from the run that nothing stopped")
            else:
                self._count("byte for byte the run that nothing stopped")
                shutil.rmtree(run.out.parent)

    def _life(self, run: Run, rng: random.Random, number: int) -> bool:
        """One process; returns whether it came to the end."""
        kind = rng.choices(("kill", *OTHERS), (20, 2, 1, 1))[0] if not self.is_enough() else "none"
        limit = None
        if kind == "disk full":
            limit = resource.RLIMIT_FSIZE, rng.choice((0, 100, 1_000, 5_000, 20_000, 40_000, 100_000))
        elif kind == "too few open files":
            limit = resource.RLIMIT_NOFILE, rng.randint(3, 24)
        recorded = recorded_steps(run.out)
        process = run.start(jump=kind == "clock jumps" or rng.random() < 0.2, limit=limit)
        phase = ""
        if kind == "kill":
            # a quarter of the kills within the imports and the first second of the training, half after some steps
            moment = rng.random()
            if moment > 1 / 2:
                wait_for_steps(process, run.out, recorded + rng.randint(1, 9))
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(rng.uniform(0, 0.2) if moment > 1 / 2 else rng.uniform(0.1, 1.5 if moment < 1 / 4 else 8))
            if process.poll() is None:
                phase = run.phase()
                process.kill()
        try:
            _, error = process.communicate(timeout=LONGEST_LIFE)
        except subprocess.TimeoutExpired:
            process.kill()
            self._find(number, f"{kind}: a process did not end within {LONGEST_LIFE} s")
            return False
        self._count(phase or (kind if kind in OTHERS else "not disturbed"))
        status = process.returncode
        outcome = ALLOWED_STATUS.get(status)
        if outcome is None or "Traceback" in error:
            # with too few open files Python itself may not start
            if kind != "too few open files":
                self._find(number, f"{kind}: ended with {status}: {error[-1500:]}")
        else:
            self._count(f"processes: {outcome}")
        for problem in run.problems():
            self._find(number, f"{kind}: {problem}")
        if (first := first_step(error)) is not None:
            self._count_lost(number, recorded - first)
        return status == 0

    def _count(self, what: str) -> None:
        with self._lock:
            self.counts[what] += 1

    def _count_lost(self, number: int, steps: int) -> None:
        with self._lock:
            self.most_lost = max(self.most_lost, steps)
        if steps > CHECKPOINT_EVERY:
            self._find(number, f"{steps} steps were lost, with a checkpoint every {CHECKPOINT_EVERY}")

    def _find(self, number: int, what: str) -> None:
        with self._lock:
            self.findings.append(f"run {number}, seed {self.seed}: {what}")
            print(f"FOUND {self.findings[-1]}", file=sys.stderr, flush=True)

    def table(self) -> str:
        """What was done, and what came of it."""
        rows = [f"| {what} | {self.counts[what]} |" for what in (*KILLED, *OTHERS, "not disturbed")]
        others = sorted(self.counts.keys() - {*KILLED, *OTHERS, "not disturbed"})
        rows += [f"| {what} | {self.counts[what]} |" for what in others]
        rows += [f"| most steps lost, of {CHECKPOINT_EVERY} between checkpoints | {self.most_lost} |"]
        return "\n".join(["| | processes or runs |", "| --- | --- |", *rows, f"| findings | {len(self.findings)} |"])


def recorded_steps(folder: Path) -> int:
    """The number of steps in the metrics.jsonl of a run's folder."""
    with contextlib.suppress(FileNotFoundError):
        return (folder / "metrics.jsonl").read_bytes().count(b"\n")
    return 0


def wait_for_steps(process: "subprocess.Popen[str]", folder: Path, steps: int) -> None:
    """Wait until so many steps are recorded in a run's folder, or the process that trains there has ended."""
    end = time.monotonic() + LONGEST_LIFE
    while recorded_steps(folder) < steps and process.poll() is None and time.monotonic() < end:
        time.sleep(0.002)


def first_step(stderr: str) -> int | None:
    """After which step a process went on, by what it printed; None if it did not come so far."""
    if resumed := re.search(r"resuming after step (\d+) of", stderr):
        return int(resumed[1])
    return 0 if "starting from the beginning" in stderr else None


def main() -> int:
    """Run the tool; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10**9, metavar="N", help="end after so many kills")
    parser.add_argument("--minutes", type=float, default=60, help="end after this time (default 60)")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="runs at the same time (default 2)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of what is done when (default 0)")
    parser.add_argument("--task", choices=TASKS, default="classification", help="what is learned (default %(default)s)")
    parser.add_argument("--child", metavar="FOLDER", help=argparse.SUPPRESS)
    parser.add_argument("--jump", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        return child(options.task, options.child, options.jump)
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(options.task, Path(folder), options.seed, options.kills, 60 * options.minutes)
        print(f"the run that nothing stops: {soak.train_reference():.0f} s", file=sys.stderr, flush=True)
        start = time.monotonic()
        number = 0
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            running: set[concurrent.futures.Future[None]] = set()
            while running or not soak.is_enough():
                while len(running) < options.jobs and not soak.is_enough() and len(soak.findings) < 10:
                    running.add(pool.submit(soak.run, number))
                    number += 1
                done, running = concurrent.futures.wait(running, 30, concurrent.futures.FIRST_COMPLETED)
                for future in done:
                    future.result()
                kills = sum(soak.counts[phase] for phase in KILLED)
                print(f"{time.monotonic() - start:.0f} s: {kills} kills, {number} runs", file=sys.stderr, flush=True)
                if len(soak.findings) >= 10:
                    break
        print(soak.table())
        if soak.findings:
            print("\n".join(soak.findings))
        return 1 if soak.findings else 0


if __name__ == "__main__":
    sys.exit(main())
