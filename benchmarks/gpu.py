"""Everything that takes a GPU, in one go: the tests of the cuda backend, a table of speeds, a run on CIFAR-10.

    python benchmarks/gpu.py                                  25 minutes; CIFAR-10 is downloaded
    python benchmarks/gpu.py --data-dir DIR >> docs/benchmarks.md
    python benchmarks/gpu.py --parts table --rounds 3
    python benchmarks/gpu.py --device cpu --parts table       does it all run? A small model, without a GPU

It takes pip install 'npswin[cuda13,test,peers]' (or cuda12) and PyTorch's CUDA build. The peer is transformers' Swin,
eager and with torch.compile, with the same weights and images, under autocast where numbers are short. All live in one
process and take turns; a turn is one untimed call, then as many as fill a second, waited for at the end. The table has
the medians of the turns. Before anything is timed, logits are compared. CIFAR-10 gets as many epochs as fit into the
minutes that the table has left, by the speed that it has measured.
"""

import argparse
import gc
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

import npswin
from benchmarks.peers.workloads import LR, WEIGHT_DECAY, make_batch, make_model
from npswin.devices import cupy, half_dtype, to_gpu, to_host
from npswin.training import TrainConfig
from npswin.training.learner import Learner
from npswin.training.tasks.classification import ClassificationTask

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("tests", "table", "cifar")
SWIN_T, SMALL = "swin_tiny_patch4_window7_224", "swin_tiny_patch2_window4_32"
TRY = "swin_nano_patch2_window4_32"
# How far logits may be apart, as a share of the largest.
TOLERANCES = {"float32": 1e-4, "tf32": 1e-2, "bfloat16": 5e-2, "float16": 1e-2}


@dataclass(frozen=True)
class Row:
    """What one line of the table is about."""

    model: str
    batch: int
    training: bool
    precision: str

    @property
    def title(self) -> str:
        """For people."""
        what = "training step" if self.training else "inference"
        return f"{self.model}, batch {self.batch}, {what}, {self.precision}"


ROWS = [
    *(Row(SWIN_T, batch, False, precision) for precision in ("bfloat16", "float16") for batch in (32, 128)),
    *(Row(SWIN_T, 128, True, precision) for precision in ("bfloat16", "float16", "tf32", "float32")),
    *(Row(SMALL, 128, True, precision) for precision in ("bfloat16", "tf32", "float32")),
]
CIFAR_ROW = Row(SMALL, 128, True, "bfloat16")
TRIES = [Row(TRY, 8, training, "float32") for training in (False, True)]


def say(line: str) -> None:
    """A line on stderr."""
    print(line, file=sys.stderr, flush=True)


def job_of(row: Row) -> dict[str, Any]:
    """As `make_model` and `make_batch` take it."""
    return {"config": {**npswin.CONFIGS[row.model], "drop_path_rate": 0.0}, "batch": row.batch}


def npswin_call(row: Row, device: str) -> tuple[Callable[[], Any], Any]:
    """A call of npswin's model, and its logits."""
    model = make_model(job_of(row)).to(device)
    images, labels = make_batch(job_of(row))
    if device == "cuda":
        images = to_gpu(images)
        npswin.allow_tf32(row.precision == "tf32")
    if row.precision in ("bfloat16", "float16"):
        images = images.astype(half_dtype(row.precision))
    if not row.training:
        infer = npswin.capture(model, images) if device == "cuda" else model
        return lambda: infer(images), model(images)
    logits = model(images)
    config = TrainConfig(epochs=1, lr=LR, weight_decay=WEIGHT_DECAY, precision=row.precision.replace("float32", "full"))
    learner = Learner(model, config, steps_per_epoch=1 << 20, task=ClassificationTask(config))
    labels = to_gpu(labels) if device == "cuda" else labels
    return lambda: learner.train_step(images, labels, seed=0), logits


def torch_call(row: Row, device: str, compiled: bool) -> tuple[Callable[[], Any], Any]:
    """A call of transformers' model, and its logits."""
    import torch

    from benchmarks.training_parity import make_peer

    peer = make_peer(make_model(job_of(row)))[0].to(device).train(row.training)
    images, labels = (torch.from_numpy(array).to(device) for array in make_batch(job_of(row)))
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = row.precision == "tf32"
    dtype = {"bfloat16": torch.bfloat16, "float16": torch.float16}.get(row.precision)
    run = torch.compile(peer) if compiled else peer

    def forward() -> Any:
        torch.backends.cuda.matmul.allow_tf32 = row.precision == "tf32"
        with torch.autocast(device, dtype=dtype, enabled=dtype is not None):
            return run(images).logits

    if not row.training:

        def infer() -> Any:
            with torch.inference_mode():
                return forward()

        return infer, infer()
    with torch.inference_mode():
        logits = forward()
    optimizer = torch.optim.AdamW(peer.parameters(), lr=LR, weight_decay=WEIGHT_DECAY, fused=True)
    scaler = torch.amp.GradScaler(device, enabled=row.precision == "float16")

    def step() -> Any:
        optimizer.zero_grad()
        scaler.scale(torch.nn.functional.cross_entropy(forward().float(), labels)).backward()
        scaler.step(optimizer)
        scaler.update()

    return step, logits


def numbers(logits: Any) -> np.ndarray[Any, Any]:
    """In float32, on the CPU."""
    return logits.float().cpu().numpy() if hasattr(logits, "cpu") else to_host(logits).astype(np.float32)


def wait(device: str) -> None:
    """Until all that was asked of the GPU is done."""
    if device == "cuda":
        cupy().cuda.Device().synchronize()


def turn(call: Callable[[], Any], device: str, seconds: float) -> float:
    """Milliseconds of a call."""
    call()
    wait(device)
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        for _ in range(5):
            call()
        count += 5
        wait(device)
    return 1000 * (time.perf_counter() - started) / count


def measure(row: Row, device: str, rounds: int, seconds: float) -> tuple[list[str], float]:
    """The row's lines of the table, and npswin's images a second."""
    makers: dict[str, Callable[[], tuple[Callable[[], Any], Any]]] = {
        "npswin": lambda: npswin_call(row, device),
        "PyTorch": lambda: torch_call(row, device, compiled=False),
        "PyTorch, torch.compile": lambda: torch_call(row, device, compiled=True),
    }
    calls, left_out, first = {}, {}, None
    for name, make in makers.items():
        try:
            call, logits = make()
            for _ in range(3):
                call()
            logits = numbers(logits)
        except Exception as error:
            if name == "npswin":
                raise
            left_out[name] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            continue
        first = logits if first is None else first
        apart = np.abs(logits - first).max() / np.abs(first).max()
        if not apart < TOLERANCES[row.precision]:
            raise SystemExit(f"gpu.py: error: {row.title}: logits of {name} and npswin are {apart:.1e} apart")
        calls[name] = call
    turns: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            turns[name].append(turn(call, device, seconds))
    medians = {name: statistics.median(values) for name, values in turns.items()}
    lines = []
    for name, ms in medians.items():
        spread = f"{min(turns[name]):.2f}–{max(turns[name]):.2f}"
        ratio = "" if name == "npswin" else f"{ms / medians['npswin']:.2f} ×"
        title = row.title if name == "npswin" else ""
        lines.append(f"| {title} | {name} | {ms:.2f} ({spread}) | {1000 * row.batch / ms:,.0f} | {ratio} |")
    calls.clear()
    del call
    free_memory(device)
    lines += [f"|  | {name} | left out: {why} | | |" for name, why in left_out.items()]
    say("\n".join(lines))
    return lines, 1000 * row.batch / medians["npswin"]


def epochs_within(seconds: float, images_a_second: float | None) -> int:
    """Epochs of CIFAR-10's 50,000 images, at two thirds of a speed that was measured without data and evaluations."""
    return 100 if images_a_second is None else max(10, min(300, int(seconds * images_a_second / 1.5 / 50_000)))


def free_memory(device: str) -> None:
    """What the row's models had, for those of the next one."""
    gc.collect()
    if device == "cuda":
        cupy().get_default_memory_pool().free_all_blocks()
        if (torch := sys.modules.get("torch")) is not None:
            torch._dynamo.reset()
            torch.cuda.empty_cache()


def describe(device: str) -> list[str]:
    """The GPU, its driver, and the versions."""
    found = []
    if device == "cuda":
        runtime = cupy().cuda.runtime
        about = runtime.getDeviceProperties(0)
        name, memory = about["name"].decode(), about["totalGlobalMem"] / 2**30
        found.append(f"- GPU: {name}, {memory:.0f} GiB, driver for CUDA {runtime.driverGetVersion()}")
    names = ("npswin", "numpy", "cupy-cuda12x", "cupy-cuda13x", "torch", "transformers")
    installed = {name: metadata.version(name) for name in names if _is_installed(name)}
    return [*found, f"- versions: {', '.join(f'{name} {version}' for name, version in installed.items())}"]


def _is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def last_lines(command: list[str], count: int) -> str:
    """Of what a command prints. Where it fails, what it printed is shown, and the others go on."""
    say("$ " + " ".join(command))
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        say(f"gpu.py: {' '.join(command)} ended with {done.returncode}\n{done.stdout[-30000:]}")
    return "\n".join(done.stdout.strip().splitlines()[-count:])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add = parser.add_argument
    add("--parts", nargs="+", choices=PARTS, default=PARTS, help="default: all")
    add("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: a try of the table without a GPU")
    add("--rounds", type=int, default=3, help="turns of each competitor (default: %(default)s)")
    add("--data-dir", type=Path, help="folder that has CIFAR-10's binary version")
    add("--minutes", type=float, default=25, help="for all of it (default: %(default)s)")
    add("--epochs", type=int, help="on CIFAR-10 (default: by the minutes that are left)")
    add("--batch-size", type=int, default=256, help="on CIFAR-10 (default: %(default)s)")
    add("--out", type=Path, default=Path("runs/gpu"), help="folder of the run on CIFAR-10 (default: %(default)s)")
    arguments = parser.parse_args()
    device = arguments.device
    if device == "cuda":
        try:
            cupy()
        except RuntimeError as error:
            raise SystemExit(f"gpu.py: error: {error}") from error
    started, speeds = time.monotonic(), dict[Row, float]()
    print("## On a GPU\n\n    python benchmarks/gpu.py\n\n" + "\n".join(describe(device)))
    if "tests" in arguments.parts:
        print("- tests: " + last_lines([sys.executable, "-m", "pytest", "-q", "tests/backends/cuda"], 1))
    if "table" in arguments.parts:
        print(
            "\n| workload | implementation | ms | images/s | npswin is |\n| --- | --- | --: | --: | --: |", flush=True
        )
        for row in TRIES if device == "cpu" else ROWS:
            lines, speeds[row] = measure(row, device, arguments.rounds, 0.2 if device == "cpu" else 1.0)
            print("\n".join(lines), flush=True)
    if "cifar" in arguments.parts:
        left = 60 * arguments.minutes - (time.monotonic() - started) - 60  # for what is not training
        fitting = epochs_within(left, speeds.get(CIFAR_ROW))
        epochs = fitting if arguments.epochs is None else arguments.epochs
        command = [sys.executable, "examples/train_cifar.py", "--device", device, "--preset", SMALL]
        command += ["--epochs", str(epochs), "--batch-size", str(arguments.batch_size)]
        command += ["--precision", "bfloat16"] if device == "cuda" else []
        command += ["--data-dir", str(arguments.data_dir)] if arguments.data_dir else []
        print("\n" + last_lines([*command, "--out", str(arguments.out)], 5))
    say(f"{time.monotonic() - started:.0f} s in all")


if __name__ == "__main__":
    main()
