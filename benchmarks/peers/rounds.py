"""Competitors in turns: each in its own process, one after the other, round after round."""

import statistics
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.peers.machine import QuietMeter
from benchmarks.peers.processes import Worker, WorkerError
from benchmarks.peers.sgemm import FLOPS
from benchmarks.peers.workloads import TITLES, Workload

# The libraries' threads spin for a moment after a call before they sleep: nobody's turn begins in that moment.
PAUSE = 0.3
TOLERANCE = 1e-3
DISTURBED = 0.05


class DisagreementError(Exception):
    """A peer does not compute what npswin computes."""


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes:
        rounds: turns of each competitor.
        threads: of each competitor.
        turn: seconds after which a turn is over; a call that has begun is finished.
        attentions: implementations that PyTorch tries.
        folder: for exported models and caches.
    """

    rounds: int
    threads: int
    turn: float
    attentions: tuple[str, ...]
    folder: Path


@dataclass
class Row:
    """What came of one workload.

    Attributes:
        workload: what was measured.
        flops: of one call; 0 where they are not counted.
        seconds: for each competitor, the median call of each of its turns.
        notes: for each competitor, what it said of itself.
        left_out: for each peer that could not take part, why.
        disturbance: see `QuietMeter.shares`.
    """

    workload: Workload
    flops: int = 0
    seconds: dict[str, list[float]] = field(default_factory=dict)
    notes: dict[str, dict[str, Any]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    disturbance: dict[str, float] = field(default_factory=dict)

    def median(self, competitor: str) -> float:
        """Median seconds of a call."""
        return statistics.median(self.seconds[competitor])


def say(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


def measure(workload: Workload, peers: list[str], settings: Settings) -> Row:
    """All rounds of one workload.

    Raises:
        WorkerError: npswin failed.
        DisagreementError: a peer's results are not npswin's.
    """
    row = Row(workload)
    onnx = settings.folder / f"{workload.name}.onnx"
    common = {"threads": settings.threads, "attentions": settings.attentions, "onnx": str(onnx)}
    if {"onnxruntime", "openvino"} & set(peers):
        say("  exporting the model to ONNX")
        try:
            with Worker(workload.job("pytorch", do="export", **common)) as worker:
                worker.answer()
        except WorkerError as error:
            row.left_out |= dict.fromkeys({"onnxruntime", "openvino"} & set(peers), f"the export failed: {error}")
    with ExitStack() as stack:
        workers: dict[str, Worker] = {}
        proofs: dict[str, dict[str, Any]] = {}
        for competitor in [*workload.own, *(peer for peer in peers if peer not in row.left_out)]:
            started = time.perf_counter()
            worker = stack.enter_context(Worker(workload.job(competitor, do="serve", **common)))
            try:
                ready = worker.answer()
            except WorkerError as error:
                if competitor == "npswin":
                    raise WorkerError(f"npswin: {error}\n{worker.log()}") from error
                row.left_out[competitor] = str(error)
                say(f"  {TITLES[competitor]}: left out: {error}")
                continue
            say(f"  {TITLES[competitor]}: ready after {time.perf_counter() - started:.0f} s{_attention(ready)}")
            workers[competitor], proofs[competitor] = worker, ready["proof"]
            row.notes[competitor] = ready["notes"]
            if competitor != "npswin":
                compare(proofs["npswin"], ready["proof"], f"{workload.full_title}: {TITLES[competitor]}")
        row.flops = row.notes["npswin"]["flops"]
        row.seconds, row.disturbance = turns(workers, settings)
    onnx.unlink(missing_ok=True)
    return row


def _attention(ready: dict[str, Any]) -> str:
    tried = ready["notes"].get("tried", {})
    return "".join(f", {name} attention {1000 * seconds:.0f} ms" for name, seconds in tried.items())


def compare(own: dict[str, Any], other: dict[str, Any], title: str) -> None:
    """Hold a peer's logits and losses against npswin's.

    Raises:
        DisagreementError: they differ by more than TOLERANCE of the largest.
    """
    import numpy as np

    for name, value in own.items():
        if name not in other:
            continue
        mine, theirs = np.asarray(value), np.asarray(other[name])
        if mine.shape != theirs.shape:
            raise DisagreementError(f"{title}: {name} {theirs.shape}, npswin has {mine.shape}")
        error = np.abs(mine - theirs).max() / np.abs(mine).max()
        if not error <= TOLERANCE:
            raise DisagreementError(f"{title}: {name} differ from npswin's by {error:.1e} of the largest")


def turns(workers: dict[str, Worker], settings: Settings) -> tuple[dict[str, list[float]], dict[str, float]]:
    """The median call of each turn, by competitor; and how quiet the machine was."""
    seconds: dict[str, list[float]] = {competitor: [] for competitor in workers}
    meter = QuietMeter([worker.pid for worker in workers.values()])
    for place in range(settings.rounds):
        order = list(workers)
        order = order[place % len(order) :] + order[: place % len(order)]
        for competitor in order:
            time.sleep(PAUSE)  # in which the threads of the competitor before stop spinning
            meter.start()
            calls = workers[competitor].turn(settings.turn)
            meter.stop(workers[competitor].pid)
            seconds[competitor].append(statistics.median(calls))
        figures = ", ".join(f"{TITLES[name]} {1000 * seconds[name][-1]:.1f}" for name in workers)
        say(f"  round {place + 1} of {settings.rounds}, ms: {figures}")
    shares = meter.shares()
    for who, share in shares.items():
        if share > DISTURBED:
            say(f"  warning: {who} used {100 * share:.0f} % of the cores during the turns")
    return seconds, shares


@dataclass(frozen=True)
class Peak:
    """FLOP/s of a large matrix product in one library, and which kernel that library chose."""

    speed: float
    kernel: str


def measure_peak(competitors: list[str], settings: Settings) -> dict[str, Peak]:
    """The best turn of a large matrix product, by library."""
    say("peak: a product of 2048×2048 matrices")
    job = {"do": "serve", "threads": settings.threads}
    with ExitStack() as stack:
        workers = {name: stack.enter_context(Worker({**job, "competitor": name})) for name in competitors}
        kernels = {name: worker.answer()["notes"]["kernel"] for name, worker in workers.items()}
        seconds, _ = turns(workers, settings)
    return {name: Peak(FLOPS / min(values), kernels[name]) for name, values in seconds.items()}
