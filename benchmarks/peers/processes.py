"""The other end of a worker's pipe."""

import json
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


class WorkerError(Exception):
    """What went wrong in a worker."""


class Worker:
    """A competitor in a process of its own.

    Args:
        job: see `worker.main`; "threads" also goes into the environment, where libraries look for it.
        **environment: more environment variables.
    """

    def __init__(self, job: dict[str, Any], **environment: str) -> None:
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in close()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.peers.worker", json.dumps(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={
                **os.environ,
                **dict.fromkeys(THREAD_VARIABLES, str(job["threads"])),
                "PYTHONPATH": os.pathsep.join(paths),
                **environment,
            },
        )
        self.pid = self._process.pid

    def answer(self) -> dict[str, Any]:
        """The next answer; sleeps until it comes.

        Raises:
            WorkerError: the worker failed.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        answer = json.loads(line) if line else {"error": f"ended with status {self._process.wait()}"}
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer

    def turn(self, enough: float) -> list[float]:
        """Let it run its call once untimed, then timed; seconds of the timed calls."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # then `answer` says what is known
            self._process.stdin.write(json.dumps({"seconds": enough}) + "\n")
            self._process.stdin.flush()
        seconds: list[float] = self.answer()["seconds"]
        return seconds

    def log(self) -> str:
        """What it printed."""
        self._log.seek(0)
        return self._log.read()

    def close(self) -> None:
        """End it."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            self._process.kill()
        self.close()
