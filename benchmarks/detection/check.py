"""Checks that the port is correct without mistakes, and that each mistake changes the tensor at its place.

    python benchmarks/detection/check.py              every mistake at one place of each model
    python benchmarks/detection/check.py --thorough   at every place, and 60 pairs of mistakes in each

Needs pip install 'npswin[peers]'. Without mistakes every tensor and gradient is compared with npswin's. With one
mistake, the tensor at its place has to differ from the run without it, and nothing before it: for a forward mistake no
tensor, for a backward one no tensor and no gradient that the backward pass has computed by then. With two mistakes,
each has to change the tensor at its place compared with a run that makes only the other one.
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import npswin
from benchmarks.detection.port import MISTAKES, Planted, compatible, draw, places, run_port
from npswin.verify.graph import Graph, Run, swin_graph

SMALL = {"patch_size": 2, "embed_dim": 8, "depths": (2, 2), "num_heads": (2, 4), "num_classes": 5, "mlp_ratio": 2.0}
MODELS: dict[str, tuple[dict[str, Any], tuple[int, int], int]] = {  # arguments, image size, batch
    "miniature": ({**SMALL, "img_size": (12, 10), "window_size": 3}, (12, 10), 2),
    "windows of 2": ({**SMALL, "img_size": None, "window_size": 2}, (12, 10), 2),
    "windows of 4": ({**SMALL, "img_size": (26, 18), "window_size": 4}, (26, 18), 2),
    "square, nothing padded": ({**SMALL, "img_size": 32, "window_size": 4}, (32, 32), 2),
    "last stage one window": ({**SMALL, "img_size": 12, "window_size": 3}, (12, 12), 2),
    "odd pixels, other size": ({**SMALL, "img_size": 32, "window_size": 3, "qkv_bias": False}, (23, 15), 3),
    "smaller than the window": ({**SMALL, "img_size": None, "window_size": 4}, (7, 5), 1),
    "three stages, positions": (
        {**SMALL, "img_size": (27, 33), "window_size": 3, "ape": True, "depths": (1, 2, 3), "num_heads": (1, 2, 4)},
        (27, 33),
        2,
    ),
    "positions of another size": ({**SMALL, "img_size": 12, "window_size": 3, "ape": True}, (19, 15), 2),
    "no patch norm": ({**SMALL, "img_size": (20, 28), "window_size": 2, "patch_norm": False}, (20, 28), 2),
}
PAIRS = 60
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Case:
    """A model with weights that make every term change the result, images, and the correct tensors."""

    def __init__(self, config: dict[str, Any], image_size: tuple[int, int], batch: int) -> None:
        self.config, self.image_size, self.batch = config, image_size, batch
        rng = np.random.default_rng(0)
        model = npswin.SwinTransformer(**config, drop_path_rate=0, dtype="float64")
        for name, value in model.params.items():
            gain = "norm" in name and name.endswith("weight")
            fan_in = 1 if value.ndim == 1 or "bias_table" in name or "absolute" in name else value[0].size
            value[...] = gain + rng.normal(0, 0.5 / np.sqrt(fan_in) if not gain else 0.2, value.shape)
        self.params = dict(model.params)
        self.pixels = rng.integers(0, 256, (batch, 3, *image_size), dtype=np.uint8)
        self.labels = rng.integers(0, config["num_classes"], batch)
        self.graph: Graph = swin_graph(model, image_size, (MEAN, STD))
        self.right = self.run()

    def run(self, mistakes: Iterable[Planted] = (), **options: Any) -> dict[str, np.ndarray]:
        arguments = (self.config, self.params, self.pixels, self.labels, MEAN, STD)
        return run_port(*arguments, mistakes=mistakes, **options)

    def before(self, place: str) -> list[str]:
        """The names of the tensors and gradients that the correct model computes before this one."""
        gradients = [f"grad/{name}" for name in self.graph.backward_order()]
        names = [*self.graph.computed, *gradients]
        return names[: names.index(place)]


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """The largest difference over the largest number; infinite where shapes differ."""
    if one.shape != other.shape:
        return np.inf
    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    return float(np.abs(one - other).max() / max(np.abs(other).max(), 1e-300))


def against_npswin(case: Case) -> dict[str, float]:
    """The largest distance from npswin's tensors and gradients: of the port, of sums in other orders, of precisions."""
    run = Run(case.graph, {**case.params, "pixels": case.pixels, "labels": case.labels})
    names = [*case.graph.computed, *(f"grad/{name}" for name in case.graph.backward_order())]
    exact = {name: run.value(name) for name in names}
    assert set(exact) == set(case.right), set(exact) ^ set(case.right)
    runs = {
        "port": case.right,
        "other order": case.run(order_seed=1),
        "float32": case.run(dtype="float32"),
        "float32, other order": case.run(dtype="float32", order_seed=1),
        "bfloat16": case.run(dtype="bfloat16"),
    }
    return {title: max(distance(result[name], exact[name]) for name in names) for title, result in runs.items()}


def check_mistake(case: Case, planted: Planted) -> float:
    """The distance of the tensor at its place from the correct one. Raises AssertionError if one before it differs."""
    wrong = case.run([planted])
    for name in case.before(planted.place):
        assert name not in wrong or np.array_equal(wrong[name], case.right[name]), f"{planted}: {name} differs"
    far = distance(wrong[planted.place], case.right[planted.place])
    assert far > 1e-9, f"{planted}: makes no difference"
    return far


def check_pair(case: Case, first: Planted, second: Planted) -> float:
    """The smaller distance of the two places from the run that lacks the one mistake."""
    both, alone = case.run([first, second]), {planted: case.run([planted]) for planted in (first, second)}
    return min(
        distance(both[seen.place], alone[other][seen.place]) for seen, other in ((first, second), (second, first))
    )


def main() -> None:
    """Print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--thorough", action="store_true", help="every place, and pairs")
    thorough = parser.parse_args().thorough
    smallest = dict.fromkeys(MISTAKES, np.inf)
    counts: dict[str, dict[str, int]] = {}
    for title, arguments in MODELS.items():
        case, rng = Case(*arguments), np.random.default_rng(1)
        errors = against_npswin(case)
        print(f"{title}: " + ", ".join(f"{run} {error:.1e}" for run, error in errors.items()), flush=True)
        plan = case.config, case.image_size
        found = {mistake: places(mistake, *plan, case.batch) for mistake in MISTAKES}
        counts[title] = {mistake: len(each) for mistake, each in found.items()}
        possible = [mistake for mistake in MISTAKES if found[mistake]]
        for mistake in possible:
            chosen: dict[str, Planted] = {}
            while len(chosen) < (len(found[mistake]) if thorough else 1):
                planted = draw(mistake, *plan, rng, case.batch)
                chosen[planted.place] = planted
            smallest[mistake] = min(smallest[mistake], *(check_mistake(case, planted) for planted in chosen.values()))
        pairs = 0
        while thorough and pairs < PAIRS:
            first, second = (draw(str(mistake), *plan, rng, case.batch) for mistake in rng.choice(possible, 2))
            if compatible(first, second, *plan):
                assert check_pair(case, first, second) > 1e-9, f"{first} and {second}: one hides the other"
                pairs += 1
    print("| mistake | places in the miniature | all models | smallest distance |\n| --- | --- | --- | --- |")
    for mistake in MISTAKES:
        every = sum(count[mistake] for count in counts.values())
        print(f"| {mistake} | {counts['miniature'][mistake]} | {every} | {smallest[mistake]:.1e} |")


if __name__ == "__main__":
    main()
