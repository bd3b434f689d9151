"""A competitor's own process: prepares a call, then runs it each time it is told to.

    python -m benchmarks.peers.worker JOB       JOB is JSON, see `main`

Tells and answers are lines of JSON on standard input and output; whatever libraries print goes to standard error.
While it waits for a line, it sleeps.
"""

import time

STARTED = time.perf_counter()  # before anything heavy is imported

import json  # noqa: E402
import os  # noqa: E402
import statistics  # noqa: E402
import sys  # noqa: E402
import traceback  # noqa: E402
from importlib import import_module  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any, TextIO  # noqa: E402

MODULES = {
    "npswin": "npswin_model",
    "captured": "npswin_model",
    "pytorch": "pytorch",
    "compiled": "pytorch",
    "onnxruntime": "exported",
    "openvino": "exported",
    "numpy-sgemm": "sgemm",
    "torch-sgemm": "sgemm",
}
DENSE = {"npswin": "dense_npswin", "pytorch": "dense_pytorch"}
MEMORY_STEPS = 3
MOST_CALLS = 50  # in one turn


def main() -> None:
    """Do the job in the first argument: serve calls, or measure one thing in this fresh process, or export."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    job = json.loads(sys.argv[1])
    try:
        modules = DENSE if "size" in job else MODULES
        module = "convolution" if "convolution" in job else modules[job["competitor"]]
        competitor = import_module(f"benchmarks.peers.{module}")
        if job["do"] == "serve":
            _serve(competitor.prepare(job), answers)
        elif job["do"] == "export":
            _answer(answers, competitor.export(job))
        else:
            _answer(answers, (_memory if job["do"] == "memory" else _first_step)(competitor, job))
    except Exception as error:
        traceback.print_exc()
        lines = str(error).strip().splitlines() or [""]
        _answer(answers, {"error": f"{type(error).__name__}: {lines[0][:200]}"})


def _answer(answers: TextIO, value: dict[str, Any]) -> None:
    answers.write(json.dumps(value, default=lambda array: array.tolist()) + "\n")
    answers.flush()


def _serve(ready: dict[str, Any], answers: TextIO) -> None:
    call = ready.pop("call")
    _answer(answers, ready)
    del ready
    for line in sys.stdin:
        _answer(answers, {"seconds": _turn(call, json.loads(line)["seconds"])})


def _turn(call: Any, enough: float) -> list[float]:
    """Seconds of calls that follow an untimed one: one call at least, and more until they took `enough` seconds."""
    call()
    seconds: list[float] = []
    while not seconds or (sum(seconds) < enough and len(seconds) < MOST_CALLS):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return seconds


def _memory(competitor: Any, job: dict[str, Any]) -> dict[str, Any]:
    """Peak resident memory in a few training steps, above what was resident before and right after the imports."""
    start = _resident("VmRSS")
    competitor.imports(job)
    imported = _resident("VmRSS")
    # what the imports' own peak was does not matter
    Path("/proc/self/clear_refs").write_text("5")
    step = competitor.build(job, *competitor.make_batch(job))
    for _ in range(MEMORY_STEPS):
        step()
    peak = _resident("VmHWM")
    return {"bytes": peak - start, "after_imports": peak - imported}


def _resident(field: str) -> int:
    status = Path("/proc/self/status").read_text()
    return 1024 * int(next(line for line in status.splitlines() if line.startswith(f"{field}:")).split()[1])


def _first_step(competitor: Any, job: dict[str, Any]) -> dict[str, Any]:
    """Seconds from just before the model is built to the end of the first step; and of the imports and that."""
    competitor.imports(job)
    imported = time.perf_counter() - STARTED
    batch = competitor.make_batch(job)
    started = time.perf_counter()
    step = competitor.build(job, *batch)
    step()
    seconds = time.perf_counter() - started
    later = statistics.median(_turn(step, 0.0)[0] for _ in range(2))
    return {"seconds": seconds, "with_imports": imported + seconds, "later_step": later}


if __name__ == "__main__":
    main()
