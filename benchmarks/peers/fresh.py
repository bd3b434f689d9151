"""What can be seen only in a fresh process: memory, and how long the first step takes."""

import shutil
import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.peers.processes import Worker, WorkerError
from benchmarks.peers.rounds import Settings, say
from benchmarks.peers.workloads import TITLES, Workload

# Where each competitor keeps what it compiles.
CACHES = {"npswin": ("NUMBA_CACHE_DIR",), "pytorch": (), "compiled": ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")}

Table = dict[str, dict[str, Any]]


def _ask(workload: Workload, competitor: str, do: str, settings: Settings, attention: str, **environment: str) -> Any:
    job = workload.job(competitor, do=do, threads=settings.threads, attentions=[attention])
    with Worker(job, **environment) as worker:
        try:
            return worker.answer()
        except WorkerError as error:
            if competitor == "npswin":
                raise WorkerError(f"npswin: {error}\n{worker.log()}") from error
            raise


def measure_memory(
    workload: Workload, competitors: list[str], settings: Settings, attentions: dict[str, str], repeats: int
) -> Table:
    """Bytes of peak resident memory in a few training steps, above the process's start and above the imports.

    The median of several processes, one competitor after the other; the first ones may still compile. A peer that fails
    has "left_out", which says why.
    """
    found: dict[str, list[dict[str, int]]] = {competitor: [] for competitor in competitors}
    left_out: Table = {}
    for _ in range(repeats):
        for competitor in competitors:
            if competitor in left_out:
                continue
            try:
                answer = _ask(workload, competitor, "memory", settings, attentions.get(competitor, "sdpa"))
            except WorkerError as error:
                if competitor == "npswin":
                    raise
                left_out[competitor] = {"left_out": str(error)}
                say(f"  {TITLES[competitor]}: left out: {error}")
                continue
            found[competitor].append(answer)
            say(f"  {TITLES[competitor]}: {answer['bytes'] / 2**20:.0f} MiB")
    medians = {
        competitor: {key: statistics.median(answer[key] for answer in answers) for key in answers[0]}
        for competitor, answers in found.items()
        if competitor not in left_out
    }
    return {**medians, **left_out}


def measure_first_step(
    workload: Workload, competitors: list[str], settings: Settings, attentions: dict[str, str], repeats: int
) -> Table:
    """Seconds until the first training step is done, by competitor: "empty" and "filled" say what the cache was.

    With an empty cache once; with a filled one, or where there is no cache, the median of several processes.
    """
    table: Table = {}
    for competitor in competitors:
        folder = tempfile.mkdtemp(dir=settings.folder)
        caches = {variable: str(Path(folder, variable)) for variable in CACHES[competitor]}
        attention = attentions.get(competitor, "sdpa")
        answers = []
        try:
            for turn in range(repeats + bool(caches)):
                answers.append(_ask(workload, competitor, "first-step", settings, attention, **caches))
                cache = "" if not caches else ", empty cache" if turn == 0 else ", filled cache"
                say(f"  {TITLES[competitor]}{cache}: {answers[-1]['seconds']:.1f} s")
        except WorkerError as error:
            if competitor == "npswin":
                raise
            table[competitor] = {"left_out": str(error)}
            say(f"  {TITLES[competitor]}: left out: {error}")
            continue
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        filled = answers[bool(caches) :]
        table[competitor] = {"filled": {k: statistics.median(a[k] for a in filled) for k in filled[0]}}
        if caches:
            table[competitor]["empty"] = answers[0]
    return table
