"""Which mistakes the default answer key can show: the tables of docs/answer_key.md.

    python -m tests.tools.key_table            prints them
    python -m tests.tools.key_table --write    writes them into docs/answer_key.md

Each variant of each mistake is made in the computation of each of the default key's two models, wherever it can be
made. It shows in a key if at one place it changes a tensor by more than float32 explains.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from npswin.data import IMAGENET_MEAN, IMAGENET_STD
from npswin.layers import SwinTransformerBlock
from npswin.models import SwinTransformer
from npswin.verify.graph import GRADIENT_PREFIX, Graph, Run, differing, swin_graph
from npswin.verify.key.golden import EVEN_MINIATURE, MINIATURE, draw_labels, draw_pixels, randomize_weights
from npswin.verify.key.trace import Trace, trace
from npswin.verify.mistakes import CATALOGUE, Mistake
from npswin.verify.port.distance import relative_and_peak
from npswin.verify.port.tolerance import ToleranceEstimator

DOCS = Path(__file__).parents[2] / "docs" / "answer_key.md"
BEGIN, END = "<!-- the table of key_table.py -->", "<!-- its end -->"
MODELS = {"key": MINIATURE, "key/even": EVEN_MINIATURE}
SCALE = (IMAGENET_MEAN, IMAGENET_STD)


@dataclass(frozen=True)
class Place:
    """Of a block: its number in its stage and in the model, its stage's map (H, W), and the model's window size."""

    block: int
    in_model: int
    height: int
    width: int
    window_size: int


def right_shift(place: Place) -> int:
    """The shift of a block in the official model."""
    fits = min(place.height, place.width) > place.window_size
    return place.window_size // 2 if place.block % 2 and fits else 0


def _without(condition: Callable[[Place], bool]) -> Callable[[Place], int]:
    """The rule whose condition for no shift at all is another one."""
    return lambda place: 0 if condition(place) else place.window_size // 2 * (place.block % 2)


# Mistakes in the rule for a block's shift; the mask follows the shift.
RULES: dict[str, Callable[[Place], int]] = {
    "the shift is (M − 1)//2": lambda place: (place.window_size - 1) // 2 if right_shift(place) else 0,
    "only the second block of a stage is shifted": lambda place: right_shift(place) * (place.block == 1),
    "all blocks but the first of a stage are shifted": lambda place: (
        right_shift(Place(1, 0, place.height, place.width, place.window_size)) * (place.block > 0)
    ),
    "no shift where the map's width is no larger than a window": _without(lambda p: p.width <= p.window_size),
    "no shift where the map's height is no larger than a window": _without(lambda p: p.height <= p.window_size),
    "no shift only where the map is smaller than a window": _without(lambda p: min(p.height, p.width) < p.window_size),
    "no shift only where both sides of the map are no larger than a window": _without(
        lambda p: max(p.height, p.width) <= p.window_size
    ),
}


def model_of(key: str) -> SwinTransformer:
    """The model of one of the default key's cases."""
    model = SwinTransformer(**{**MODELS[key], "dtype": "float64"})
    randomize_weights(model, 0)
    return model


class Case:
    """One of the default key's cases, with its tolerances in float32."""

    def __init__(self, key: str) -> None:
        config = MODELS[key]
        self.key, self.size = key, config["img_size"]
        labels = draw_labels(0, 2, config["num_classes"])
        self.trace: Trace = trace(model_of(key), draw_pixels(0, 2, self.size), labels, normalization=SCALE)
        self.run = Run(self.trace.graph, self.trace.sources)
        self.estimator = ToleranceEstimator(self.trace.graph, self.trace.sources, "float32")
        self.tolerances = {}

    def differs(self, name: str, array: np.ndarray) -> bool:
        """Whether an array differs from the key's tensor by more than float32 explains."""
        right = self.trace[name]
        if array.shape != right.shape:
            return True
        if name not in self.tolerances:
            self.tolerances[name] = self.estimator.tolerance(name, right, lambda run: run.value(name))
        return not self.tolerances[name].ratio(*relative_and_peak(array, right)) <= 1

    def shows_graph(self, graph: Graph, backward: bool) -> bool:
        """Whether a changed graph computes another of the key's tensors, in the backward pass or in both."""
        known = self.trace.graph.nodes
        changed = {one for one in differing(self.trace.graph, graph, ()) if one.removeprefix(GRADIENT_PREFIX) in known}
        run = self.run.with_graph(graph, changed)
        forward = [] if backward else [name for name in graph.computed if name in changed]
        gradients = [GRADIENT_PREFIX + name for name in graph.backward_order()]
        with np.errstate(all="ignore"):
            return any(
                self.differs(name, run.value(name))
                for name in [*forward, *(one for one in gradients if one in changed)]
            )

    def shows_rule(self, rule: Callable[[Place], int]) -> bool:
        """Whether another rule for the shift changes a block's output."""
        model = model_of(self.key)
        for name, place in block_places(model):
            dict(model.trunk)[name].attn.shift_size = rule(place)
        graph = swin_graph(model, self.size, SCALE)
        run = Run(graph, self.trace.sources)
        return any(self.differs(name, run.value(name)) for name, _ in block_places(model))


def block_places(model: SwinTransformer) -> Iterator[tuple[str, Place]]:
    """The blocks of a model by name."""
    config = model.config
    height, width = (-(-side // config["patch_size"]) for side in config["img_size"])
    stage = number = 0
    for name, layer in model.trunk:
        if not isinstance(layer, SwinTransformerBlock):
            continue
        own, block = int(name.split(".")[1]), int(name.split(".")[3])
        if own > stage:
            stage, height, width = own, -(-height // 2), -(-width // 2)
        yield name, Place(block, number, height, width, config["window_size"])
        number += 1


def details_shown(mistake: Mistake, case: Case) -> dict[str, bool]:
    """By variant of a mistake, whether it shows in a case; without those that cannot be made in it."""
    shown: dict[str, bool] = {}
    for place in case.trace.graph.nodes:
        for detail, changes in mistake.plant(case.trace.graph, place):
            if not shown.get(detail):
                shown[detail] = case.shows_graph(case.trace.graph.replaced(changes), mistake.backward)
    return shown


def _count(shown: dict[str, bool]) -> str:
    if not shown:
        return "no place for it"
    hits = sum(shown.values())
    return "yes" if hits == len(shown) else "no" if not hits else f"{hits} of {len(shown)} variants"


def tables() -> str:
    """Both tables as Markdown."""
    cases = [Case(key) for key in MODELS]
    lines = ["| rule for the shift | `key` | `key/even` |", "| --- | --- | --- |"]
    for text, rule in RULES.items():
        answers = ["yes" if case.shows_rule(rule) else "no" for case in cases]
        lines.append(f"| {text} | {answers[0]} | {answers[1]} |")
    rows, whole = [], 0
    for mistake in CATALOGUE:
        counts = [_count(details_shown(mistake, case)) for case in cases]
        if counts == ["yes", "yes"]:
            whole += 1
        else:
            rows.append(f"| {mistake.description} | {counts[0]} | {counts[1]} |")
    lines += [
        "",
        f"Of the catalogue's {len(CATALOGUE)} mistakes, {whole} show in both keys in all their variants. The others:",
    ]
    return "\n".join([*lines, "", "| mistake | `key` | `key/even` |", "| --- | --- | --- |", *rows])


def main() -> None:
    """Print the tables, or write them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="into docs/answer_key.md")
    text = tables()
    if not parser.parse_args().write:
        print(text)
        return
    before, rest = DOCS.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    DOCS.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
