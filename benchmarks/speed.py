"""npswin's speed on a CPU beside that of its peers: one table, for whichever peers are installed.

    python benchmarks/speed.py                               everything: half an hour or so
    python benchmarks/speed.py --only swin-t-training        one workload
    python benchmarks/speed.py --only memory --peers pytorch
    python benchmarks/speed.py --only upernet-training mask-rcnn-training mask-rcnn-inference
    python benchmarks/speed.py --quick                       small batches or images, few rounds: does it all run?
    python benchmarks/speed.py --json speed.json >> docs/benchmarks.md

The peers are transformers' Swin under PyTorch, eager and with torch.compile, and for inference the same model exported
to ONNX Runtime and OpenVINO. "npswin, captured" is its inference recorded beforehand by `npswin.capture`, as the
exported models are. Install them with pip install 'npswin[bench]'; torch.compile also needs a C++ compiler.
Those of the dense models are transformers' UPerNet, and torchvision's Mask R-CNN on transformers' Swin with the
conventions of mmdetection, which npswin follows, under PyTorch, eager. torchvision needs another PyTorch: for the rows
of Mask R-CNN, and those of UPerNet beside them, take pip install 'npswin[bench-detect]' in an environment of its own.

How it is measured. All compute in float32, with the same weights, inputs and number of threads; before anything is
timed, logits or detections, and the losses of three steps of training, are compared with npswin's. Each competitor
lives in a process of its own. They take turns, round after round; between two turns there is a pause, in which the
libraries' threads stop spinning. A turn is one untimed call, then timed ones; its figure is their median. The table
shows the median of the turns. PyTorch tries both attention implementations, and keeps the faster one. Nothing else
should run meanwhile: the last line says how much of the cores others took.

The dense models. Images are noise; UPerNet gets a class for each pixel, Mask R-CNN 50 objects. Weights are fresh ones
with some noise, so that at 640×480 there are 1000 proposals and 100 detections. The proposals of such weights miss the
objects, so the true boxes are nearly all of the positive RoIs, and the mask head has some 50 to learn from. Of a
detector, the losses of the first step and the norm of its gradients are compared, while both sides choose anchors and
proposals by the same rule; then they draw them as in any training. From then on the learning rate is 0, so that the
work of a step stays the same. Nothing is dropped. GFLOP/s are not counted.

What the columns say. GFLOP/s counts the matrix products alone (`model.flops`, training being three times a forward
pass). The peak is the best of a large matrix product in NumPy and PyTorch, taken at the start and at the end. It is the
machine's only where these libraries use all of the processor: variables such as OPENBLAS_CORETYPE can keep them from
it, and are shown. A convolution counts all products of its definition; npswin takes 2.25 times fewer (Winograd).
"npswin is 1.20 ×" means that npswin does 1.20 times as many images a second.
"""

import argparse
import json
import signal
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.peers.fresh import measure_first_step, measure_memory
from benchmarks.peers.machine import (
    INSTALL,
    INSTALL_DETECTORS,
    cores,
    describe,
    missing,
    not_installed,
    source_digest,
    steering,
    versions,
)
from benchmarks.peers.processes import WorkerError
from benchmarks.peers.report import Measurements, markdown, plain
from benchmarks.peers.rounds import DisagreementError, Settings, measure, measure_peak, say
from benchmarks.peers.workloads import EVERYONE, MEMORY, TITLES, WORKLOADS, Workload

FRESH = (*MEMORY, "first-step")


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    names = [workload.name for workload in WORKLOADS]
    add = parser.add_argument
    add("--only", nargs="+", metavar="ROW", choices=[*names, *FRESH], help=f"of: {', '.join([*names, *FRESH])}")
    add("--peers", nargs="*", metavar="PEER", choices=EVERYONE, help=f"of: {', '.join(EVERYONE)} (default: all)")
    add("--rounds", type=_count, help="turns of each competitor (default: 7; with --quick 2)")
    add("--threads", type=_count, default=cores(), help="of each competitor (default: one a core, here %(default)s)")
    add("--json", type=Path, metavar="FILE", help="write everything that was measured to this file too")
    add("--quick", action="store_true", help="smaller batches or images, short turns: a try, not a measurement")
    return parser.parse_args()


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"got {text}, expected at least 1")
    return count


def run(arguments: argparse.Namespace, folder: Path) -> Measurements:
    """Measure what was asked for."""
    quick, digest = arguments.quick, source_digest()
    settings = Settings(
        rounds=arguments.rounds or (2 if quick else 7),
        threads=arguments.threads,
        turn=0.05 if quick else 0.5,
        attentions=("sdpa",) if quick else ("sdpa", "eager"),
        folder=folder,
    )
    workloads = [workload.smaller() for workload in WORKLOADS] if quick else WORKLOADS
    asked = arguments.only or [*(workload.name for workload in WORKLOADS), *FRESH]
    wanted = [workload for workload in workloads if workload.name in asked]
    by_name = {workload.name: workload for workload in workloads}
    for_memory = [by_name[name] for row, name in MEMORY.items() if row in asked]
    found = Measurements(settings, quick, describe(), versions(), steering(), workloads[0])
    if found.steering:
        say(f"set in the environment, and may slow some: {', '.join(found.steering)}")
    for peer in EVERYONE if arguments.peers is None else arguments.peers:
        if packages := missing(peer):
            found.left_out[peer] = f"{', '.join(packages)} not installed: {INSTALL}"
            say(f"left out: {TITLES[peer]}: {found.left_out[peer]}")
    needs = {package for workload in (*wanted, *for_memory) for package in workload.needs}
    for package in not_installed(sorted(needs)):
        found.left_out[package] = f"not installed: {INSTALL_DETECTORS}"
        say(f"left out: peers that need {package}: {found.left_out[package]}")
    peers = [p for p in EVERYONE if p not in found.left_out and (arguments.peers is None or p in arguments.peers)]
    products = [name for name in ("numpy-sgemm", "torch-sgemm") if not missing(name)]

    found.peak = measure_peak(products, settings)
    for place, workload in enumerate(wanted):
        say(f"[{place + 1}/{len(wanted)}] {workload.full_title}")
        found.rows.append(measure(workload, _partakers(workload, peers, found), settings))
    repeats = 1 if quick else 3
    for workload in for_memory:
        say(f"memory: {workload.full_title}")
        competitors = ["npswin", *(peer for peer in _partakers(workload, peers, found) if peer == "pytorch")]
        attentions = _attentions(workload, found)
        found.memory.append((workload, measure_memory(workload, competitors, settings, attentions, repeats)))
    if "first-step" in asked:
        workload = found.first_step_workload
        say(f"first step: {workload.full_title}")
        competitors = ["npswin", *_partakers(workload, peers, found)]
        attentions = _attentions(workload, found)
        found.first_step = measure_first_step(workload, competitors, settings, attentions, repeats)
    if found.rows:
        again = measure_peak(products, settings)
        found.peak = {name: max(peak, again[name], key=lambda p: p.speed) for name, peak in found.peak.items()}
    found.source_changed = source_digest() != digest
    return found


def _partakers(workload: Workload, peers: list[str], found: Measurements) -> list[str]:
    """The peers that take part in a workload."""
    return [] if set(workload.needs) & set(found.left_out) else [peer for peer in workload.peers if peer in peers]


def _attentions(workload: Workload, found: Measurements) -> dict[str, str]:
    """The faster attention of each peer, where the workload was timed."""
    return {
        peer: notes["attention"]
        for row in found.rows
        if row.workload == workload
        for peer, notes in row.notes.items()
        if "attention" in notes
    }


def main() -> int:
    """The exit status: 0, 1 where something failed or disagreed, 2 for a mistake, 128 + signal."""
    arguments = parse_arguments()
    if arguments.json is not None and not arguments.json.resolve().parent.is_dir():
        print(f"speed.py: error: --json: no folder {arguments.json.resolve().parent}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that workers and folders are cleared
    try:
        with tempfile.TemporaryDirectory(prefix="npswin-speed-") as folder:
            found = run(arguments, Path(folder))
    except (WorkerError, DisagreementError) as error:
        print(f"speed.py: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("aborted", file=sys.stderr)
        return 130
    print(markdown(found))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(plain(found), indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
