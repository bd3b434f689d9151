"""The machine, the versions, what is installed; and whether the machine was quiet."""

import hashlib
import os
import platform
import subprocess
from collections.abc import Sequence
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from benchmarks.peers.processes import ROOT, THREAD_VARIABLES
from benchmarks.peers.workloads import NEEDS

INSTALL = "pip install 'npswin[bench]'"
INSTALL_DETECTORS = "pip install 'npswin[bench-detect]'"
_PACKAGES = ("numpy", "scipy", "numba", "torch", "torchvision", "transformers", "onnx", "onnxruntime", "openvino")
_VECTORS = {
    "avx512f": "AVX-512",
    "avx2": "AVX2",
    "avx": "AVX",
    "sse4_2": "SSE4.2",
    "sve": "SVE",
    "asimd": "NEON",
}

# Variables that steer the libraries: figures taken under them hold for them.
_STEERING = ("ATEN_", "DNNL_", "GOMP_", "KMP_", "MKL_", "NPSWIN_", "NUMBA_", "OMP_", "ONEDNN_", "OPENBLAS_", "TORCH")


def steering() -> dict[str, str]:
    """The environment variables that steer the libraries, but for those of threads, which the workers are given."""
    chosen = (name for name in sorted(os.environ) if name.startswith(_STEERING) and name not in THREAD_VARIABLES)
    return {name: os.environ[name] for name in chosen}


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def missing(competitor: str) -> list[str]:
    """The packages that a competitor needs and that are not installed."""
    return not_installed(NEEDS.get(competitor, ()))


def not_installed(packages: Sequence[str]) -> list[str]:
    """Those of the packages that are not installed."""
    return [package for package in packages if find_spec(package) is None]


def describe() -> dict[str, str]:
    """The machine and its system, for people."""
    info = _cpu_info()
    flags = info.get("flags", info.get("Features", "")).split()
    vector = next((name for flag, name in _VECTORS.items() if flag in flags), platform.machine())
    described = {
        "processor": info.get("model name") or platform.processor() or platform.machine(),
        "cores": str(cores()),
        "vector instructions": vector,
        "system": f"{platform.system()} {platform.release()}",
    }
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        described["memory"] = f"{size / 2**30:.0f} GiB"
    return described


def _cpu_info() -> dict[str, str]:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().split("\n\n")[0].splitlines() if path.exists() else []
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}


def versions() -> dict[str, str]:
    """Python and the packages that are installed."""
    import npswin

    found = {"npswin": npswin.__version__ + _commit(), "Python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def source_digest() -> str:
    """Of all of npswin's source: a run is about one state of it, and code kept on disk is void once it changes."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / "npswin").rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _commit() -> str:
    """The commit in brackets, with a + where files have changed since; nothing outside a clone."""
    try:
        commit = _git("rev-parse", "--short", "HEAD")
        return f" ({commit}{'+' if _git('status', '--porcelain', '--', 'npswin') else ''})"
    except (OSError, subprocess.CalledProcessError):
        return ""


def _git(*command: str) -> str:
    return subprocess.run(["git", "-C", ROOT, *command], capture_output=True, text=True, check=True).stdout.strip()


class QuietMeter:
    """How much of the cores others used while a competitor had its turn: a measure of how far to trust its figures.

    Linux only; elsewhere the shares are 0.
    """

    def __init__(self, workers: Sequence[int]) -> None:
        self._workers = workers
        self._available = Path("/proc/stat").exists()
        self._own = self._waiting = self._all = self._ticks = 0

    def start(self) -> None:
        """The turn begins."""
        self._before = self._read()

    def stop(self, active: int) -> None:
        """The turn of the worker with this process id is over."""
        total, busy, workers = self._read()
        total_before, busy_before, workers_before = self._before
        self._ticks += total - total_before
        self._all += busy - busy_before
        for pid, ticks in workers.items():
            if pid == active:
                self._own += ticks - workers_before[pid]
            else:
                self._waiting += ticks - workers_before[pid]

    def shares(self) -> dict[str, float]:
        """Of all the cores' time in the turns: what waiting workers used, and what other processes used."""
        ticks = max(1, self._ticks)
        others = max(0, self._all - self._own - self._waiting)
        return {"waiting workers": self._waiting / ticks, "other processes": others / ticks}

    def _read(self) -> tuple[int, int, dict[int, int]]:
        """Ticks of all cores, those that were busy, and those of each worker."""
        if not self._available:
            return 0, 0, dict.fromkeys(self._workers, 0)
        user, nice, system, idle, io, irq, soft, steal = map(
            int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
        )
        busy = user + nice + system + irq + soft + steal
        return busy + idle + io, busy, {pid: _ticks(pid) for pid in self._workers}


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])
