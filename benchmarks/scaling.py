"""How a training step would scale to more cores than this machine has: a model, fitted on one and two threads.

    python benchmarks/scaling.py                       Swin-T at 224, batch 8
    python benchmarks/scaling.py --batch-size 64 --cores 8 32 128

An op is a few jobs; a job is pieces of work (tiles, rows of a weight), cut into four parts a thread. A step is run with
as many threads as there would be cores, however slow that is here, only to see which jobs it consists of and how many
pieces each has. The predicted time of a job is its time on one thread, times the share that the busiest core would have
of its pieces, if cores took parts as they become free. What is left of a step, Python between the jobs, stays as it is,
and each job takes the time that an empty one takes here.

What that leaves out is told beside it: "GB/s" is what the cores would have to read and write together if each array of
a job passed memory once, which is more than what does. A machine that moves less than that is slower than predicted;
one whose caches hold what one op leaves for the next needs less. Several sockets: an array lies in the memory of the
core that first wrote to it, and other cores read half of it or more across the link between the sockets.
"""

import argparse
import heapq
import statistics
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import npswin
from npswin.backends import dispatcher
from npswin.backends.cpu.machine import threads as machine_threads
from npswin.backends.cpu.machine.compilation import kernel
from npswin.training import set_threads
from npswin.types import Array


@dataclass
class Step:
    """The jobs of a training step.

    Attributes:
        seconds: of the step.
        jobs: pieces and parts of each job of an op, by the number of the op in the step and the kernel's name.
        spent: seconds of these jobs.
        moved: bytes of all arrays of all jobs.
    """

    seconds: float = 0.0
    jobs: dict[Any, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    spent: dict[Any, float] = field(default_factory=lambda: defaultdict(float))
    moved: int = 0


class Recorder:
    """Records the jobs that `run_parallel` starts."""

    def __init__(self) -> None:
        self.step, self.op = Step(), 0
        run_parallel = machine_threads.run_parallel

        def recorded(kernel: Any, count: int, scratch_size: int, dtype: Any, *args: Any, **more: Any) -> None:
            started = time.perf_counter()
            run_parallel(kernel, count, scratch_size, dtype, *args, **more)
            key = self.op, f"{kernel.__module__}.{kernel.__name__}"
            self.step.spent[key] += time.perf_counter() - started
            own = {name: value for name, value in more.items() if name == "parts_per_thread"}
            parts = machine_threads.part_count(count, machine_threads.thread_count(), **own)
            self.step.jobs[key].append((count, parts))
            self.step.moved += sum(array.nbytes for array in _arrays(args))

        for module in list(sys.modules.values()):
            if getattr(module, "run_parallel", None) is run_parallel and module is not machine_threads:
                module.run_parallel = recorded
        get_op = dispatcher.Dispatcher.__getattr__

        def counted(self_: Any, op: str) -> Any:
            self.op += 1
            return get_op(self_, op)

        dispatcher.Dispatcher.__getattr__ = counted  # type: ignore[method-assign]

    def record(self, run: Any) -> Step:
        """One call of a function."""
        self.step, self.op = Step(), 0
        started = time.perf_counter()
        run()
        self.step.seconds = time.perf_counter() - started
        return self.step


def _arrays(value: Any) -> list[Array]:
    if isinstance(value, np.ndarray):
        return [value]
    return [array for item in value for array in _arrays(item)] if isinstance(value, tuple) else []


def busiest_share(pieces: int, parts: int, cores: int) -> float:
    """The share of the pieces that the busiest core gets, if each takes the next part when it is done with one."""
    loads = [0] * min(cores, max(1, parts))
    for part in range(parts):
        size = pieces * (part + 1) // parts - pieces * part // parts
        heapq.heapreplace(loads, loads[0] + size)
    return max(loads) / max(1, pieces)


def shares(step: Step, cores: int) -> dict[Any, float]:
    """The busiest core's share of each op's jobs."""
    return {
        key: sum(pieces * busiest_share(pieces, parts, cores) for pieces, parts in jobs)
        / max(1, sum(pieces for pieces, _ in jobs))
        for key, jobs in step.jobs.items()
    }


@kernel
def _nothing(first: int, stop: int, part: int, scratch: Array) -> None:
    pass


def seconds_of_an_empty_job() -> float:
    """The median of many."""
    spent = []
    for _ in range(2000):
        started = time.perf_counter()
        machine_threads.run_parallel(_nothing, 64, 1, np.float32)
        spent.append(time.perf_counter() - started)
    return statistics.median(spent)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--model", choices=npswin.CONFIGS, default="swin_tiny_patch4_window7_224", help="(default: %(default)s)")
    add("--batch-size", type=int, default=8, help="images (default: %(default)s)")
    add("--cores", type=int, nargs="+", default=[1, 2, 4, 8, 32, 128], help="(default: 1 2 4 8 32 128)")
    add("--steps", type=int, default=7, help="steps that are timed with one and two threads (default: %(default)s)")
    arguments = parser.parse_args()
    model = npswin.create_model(arguments.model)
    size, batch = model.config["img_size"], arguments.batch_size
    rng = np.random.default_rng(0)
    images = rng.standard_normal((batch, model.in_chans, size, size)).astype("f")
    labels = rng.integers(0, model.num_classes, batch)
    optimizer = npswin.AdamW(model)

    def run() -> None:
        model.zero_grad()
        logits, cache = model.forward(images, rng)
        _, dlogits = npswin.cross_entropy(logits, labels)
        model.backward(dlogits, cache)
        optimizer.step()

    run()
    recorder, measured = Recorder(), {}
    for threads in (1, 2):
        set_threads(threads)
        recorder.record(run)
        steps = [recorder.record(run) for _ in range(arguments.steps)]
        measured[threads] = sorted(steps, key=lambda step: step.seconds)[len(steps) // 2]
    empty = seconds_of_an_empty_job()
    one = measured[1]
    rest = one.seconds - sum(one.spent.values())
    print(f"{arguments.model}, batch {batch}, training; an empty job takes {1e6 * empty:.0f} µs\n")
    print("| cores | jobs | ms a step | times one | busiest core | GB/s | measured, ms |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for cores in arguments.cores:
        set_threads(cores)
        step = recorder.record(run)
        share = shares(step, cores)
        work = sum(spent * share.get(key, 1.0) for key, spent in one.spent.items())
        jobs = sum(map(len, step.jobs.values()))
        seconds = work + rest + (jobs * empty if cores > 1 else 0.0)
        ideal = sum(one.spent.values()) / cores
        known = f"{1e3 * measured[cores].seconds:.0f}" if cores in measured else ""
        print(
            f"| {cores} | {jobs} | {1e3 * seconds:.0f} | {one.seconds / seconds:.1f} | {work / ideal:.2f} × its share "
            f"| {step.moved / seconds / 1e9:.0f} | {known} |"
        )


if __name__ == "__main__":
    main()
