"""The time of a training step, by op.

    python benchmarks/breakdown.py                             Swin-T at 224, batch 8
    python benchmarks/breakdown.py --model swin_mini_patch2_window4_32 --batch-size 64
    python benchmarks/breakdown.py --inference --backend numpy

Every op that a layer or the optimizer calls is timed; the rest is Python between the ops.
The table shows the median step. GFLOP/s counts matrix products alone (`model.flops`): a backward pass has twice those
of its forward pass.
"""

import argparse
import sys
import time
import types
from collections import defaultdict
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import npswin
from npswin import backends, ops
from npswin.training import set_threads

# Part of the names of the matrix products that belong to an op, in `model.flops().parts`.
PRODUCTS = {"attention_branch": ".attn.", "mlp_branch": ".mlp.", "patch_merging": ".downsample.", "linear": "head"}
PRODUCTS["patch_embed"] = "patch_embed."


class Stopwatch:
    """A backend that times each op of another."""

    def __init__(self, backend: str) -> None:
        npswin.set_backend(backend)
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)
        stems = {op.removesuffix("_forward") for op in ops.__all__ if op.endswith("_forward")}
        timed = {op: self._timed(op, getattr(backends.dispatch, op)) for op in {*ops.__all__, *stems}}
        backends.dispatcher._BACKENDS["timed"] = types.SimpleNamespace(**timed)  # type: ignore[assignment]
        npswin.set_backend("timed")

    def _timed(self, name, op):
        def timed_op(*args, **kwargs):
            start = time.perf_counter()
            result = op(*args, **kwargs)
            self.seconds[name] += time.perf_counter() - start
            self.calls[name] += 1
            return result

        return timed_op

    def reset(self) -> None:
        self.seconds.clear()
        self.calls.clear()


def operations(model: npswin.SwinTransformer, op: str, size: int, batch: int) -> float:
    """Floating-point operations of all calls of an op in one step."""
    stem = op.removesuffix("_forward").removesuffix("_backward")
    if stem not in PRODUCTS:
        return 0.0
    counted = sum(count for name, count in model.flops(size).parts.items() if PRODUCTS[stem] in name)
    return batch * counted * (2 if op.endswith("_backward") else 1)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--model", choices=npswin.CONFIGS, default="swin_tiny_patch4_window7_224", help="(default: %(default)s)")
    add("--batch-size", type=int, default=8, help="images (default: %(default)s)")
    add("--backend", default=npswin.get_backend(), help="backend (default: %(default)s)")
    add("--inference", action="store_true", help="the forward pass only")
    add("--steps", type=int, default=9, help="steps to choose the median from (default: %(default)s)")
    add("--threads", type=int, help="threads (default: one per core)")
    arguments = parser.parse_args()
    if arguments.threads:
        set_threads(arguments.threads)

    model = npswin.create_model(arguments.model)
    size, batch = model.config["img_size"], arguments.batch_size
    rng = np.random.default_rng(0)
    images = rng.standard_normal((batch, model.in_chans, size, size)).astype("f")
    labels = rng.integers(0, model.num_classes, batch)
    watch = Stopwatch(arguments.backend)
    optimizer = npswin.AdamW(model)

    def step() -> None:
        if arguments.inference:
            model(images)
            return
        model.zero_grad()
        logits, cache = model.forward(images)
        _, dlogits = npswin.cross_entropy(logits, labels)
        model.backward(dlogits, cache)
        optimizer.step()

    step()
    steps = []
    for _ in range(arguments.steps):
        watch.reset()
        start = time.perf_counter()
        step()
        steps.append((time.perf_counter() - start, dict(watch.seconds), dict(watch.calls)))
    steps.sort(key=lambda step: step[0])
    total, seconds, calls = steps[len(steps) // 2]

    print(f"{arguments.model}, batch {batch}, {'inference' if arguments.inference else 'training'}, ", end="")
    print(f"{arguments.backend}: {1e3 * total:.1f} ms a step, {batch / total:.1f} images/s\n")
    print("| op | calls | ms | share | GFLOP/s |\n| --- | ---: | ---: | ---: | ---: |")
    rest = total
    for op, spent in sorted(seconds.items(), key=lambda entry: -entry[1]):
        rate = operations(model, op, size, batch) / spent / 1e9
        print(f"| {op} | {calls[op]} | {1e3 * spent:.1f} | {spent / total:.1%} | {f'{rate:.0f}' if rate else ''} |")
        rest -= spent
    print(f"| between the ops | | {1e3 * rest:.1f} | {rest / total:.1%} | |")


if __name__ == "__main__":
    main()
