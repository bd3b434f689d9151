"""Measures how many mistakes are found: each is made in an independent port, and the port is diagnosed.

    python benchmarks/detection/table.py                      every mistake at 3 places, 20 pairs, 50 correct ports
    python benchmarks/detection/table.py --seed 7             at other places, with other weights and images
    python benchmarks/detection/table.py --precision float64

Needs pip install 'npswin[peers]'. The port (`port.py`, in PyTorch) uses no code of npswin. The exit status is 0 if
every mistake was detected with the right first tensor, 95 % of the causes are right, both causes of 80 % of the pairs
are right, and there was no false alarm.
"""

import argparse
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.detection.names import ALSO_NAMED, DETAILS, NAMES
from benchmarks.detection.port import MISTAKES, Planted, compatible, draw, places, run_port
from npswin.models import SwinTransformer
from npswin.verify.graph import Graph
from npswin.verify.key import trace
from npswin.verify.key.golden import draw_labels, draw_pixels, randomize_weights
from npswin.verify.port.candidate import Candidate, in_memory
from npswin.verify.port.comparer import Comparer
from npswin.verify.port.diagnosis import Diagnosis
from npswin.verify.port.search import search_mistakes

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SMALL = {"patch_size": 2, "embed_dim": 8, "depths": (2, 2), "num_heads": (2, 4), "num_classes": 5, "mlp_ratio": 2.0}
# One of them is drawn for each mistake: windows, and patches, that divide the map and that do not, even and odd.
MODELS: dict[str, tuple[dict[str, Any], tuple[int, int]]] = {
    "the miniature": ({**SMALL, "embed_dim": 6, "num_heads": (2, 3), "img_size": (12, 10), "window_size": 3}, (12, 10)),
    "windows of 4": ({**SMALL, "img_size": (26, 18), "window_size": 4}, (26, 18)),
    "nothing padded": ({**SMALL, "img_size": 32, "window_size": 4}, (32, 32)),
    "three stages": (
        {**SMALL, "img_size": (21, 25), "window_size": 2, "depths": (1, 2, 2), "num_heads": (1, 2, 4)},
        (21, 25),
    ),
}
DOUBLE = ("gelu-erf",)  # mistakes that only float64 shows

_ENDS = r"norm|norm1|norm2|proj|qkv|probabilities|fc1|act|fc2|blocks\.\d+|reduction|avgpool|head|loss|input"
DUMPS = {
    "all": "",
    "modules": rf"^(grad/)?(.*\.)?({_ENDS}|.*(weight|bias|table))$",  # as from hooks on the official modules
    "gradients": r"^grad/",
    "blocks": r"^(grad/)?(layers\.\d+\.blocks\.\d+|layers\.\d+\.downsample\.reduction|head|.*(weight|bias|table))$",
}


@dataclass
class Score:
    """How often one mistake was tried, detected, located and named, at several places."""

    tried: int = 0
    detected: int = 0
    first: int = 0
    named: int = 0


class Case:
    """A model with weights, images, and its key."""

    def __init__(self, name: str, seed: int, batch: int) -> None:
        self.config, self.size = MODELS[name]
        self.batch = batch
        self.model = SwinTransformer(**self.config, dtype="float64")
        randomize_weights(self.model, seed)
        self.pixels = draw_pixels(seed, batch, self.size)
        self.labels = draw_labels(seed, batch, self.model.num_classes)
        self.key = trace(self.model, self.pixels, self.labels, normalization=(MEAN, STD))

    def diagnose(
        self, precision: str, mistakes: Iterable[Planted] = (), order: int | None = None, dumps: str = "all"
    ) -> Diagnosis:
        """Run the port and diagnose what it dumps."""
        arguments = (self.config, self.model.params, self.pixels, self.labels, MEAN, STD)
        results = run_port(*arguments, precision, mistakes, order)
        dumped = {name: array for name, array in results.items() if re.search(DUMPS[dumps], name)}
        tensors = {name: in_memory(array) for name, array in dumped.items()}
        return search_mistakes(Comparer(self.key, Candidate(tensors, self.key.shapes, "the port")))


def is_named(planted: Planted, diagnosis: Diagnosis, graph: Graph) -> bool:
    """Whether the mistake is among the causes, at its place: a tensor, or the derivative by one of its inputs.

    For the same mistake at two places between two dumped tensors, which cannot be distinguished, either place is right.
    So are two readings of one mistake, such as two ways to build the same mask, which compute the same numbers.
    """
    wanted = {NAMES.get(planted.id, planted.id), *ALSO_NAMED.get(planted.id, ())}
    for cause in diagnosis.causes:
        one = cause.hypothesis
        same = [one, *(other for other in cause.others if other.tolerance_ratio == one.tolerance_ratio)]
        right = any(wanted & set(each.name.split(" + ")) and DETAILS.get(planted.id, "") in str(each) for each in same)
        alike = [other.place for other in cause.others if other.name == one.name and other.explains_symptom]
        places = {*cause.places, *alike, *(each.place for each in same)}
        accepted = {cause.symptom, *cause.explained, *places}
        accepted |= {f"grad/{read}" for place in places for read in graph.nodes[place].inputs}
        if right and planted.place in accepted:
            return True
    return False


def first_is_right(planted: Planted, diagnosis: Diagnosis) -> bool:
    """Whether the first wrong tensor of its pass, if that was dumped, is the one at which the mistake is made."""
    rows = diagnosis.comparison.rows_of_pass(planted.place.startswith("grad/")) or diagnosis.comparison.rows
    names = [row.name for row in rows]
    first = next((row.name for row in rows if not row.ok), None)
    return first == planted.place or (planted.place not in names and first is not None)


def possible(precision: str) -> list[str]:
    """The mistakes that numbers of this precision can show."""
    return [mistake for mistake in MISTAKES if precision == "float64" or mistake not in DOUBLE]


def draw_case(mistake: str, rng: np.random.Generator) -> tuple[Case, Planted]:
    """A model in which the mistake makes a difference, and a place in it."""
    fitting = [name for name, (config, size) in MODELS.items() if places(mistake, config, size)]
    case = Case(str(rng.choice(fitting)), int(rng.integers(2**31)), int(rng.integers(2, 4)))
    return case, draw(mistake, case.config, case.size, rng, case.batch)


def singles(precision: str, count: int, seed: int, only: list[str], dumps: str) -> dict[str, Score]:
    """Each mistake by itself, at random places of random models."""
    scores = {}
    for number, mistake in enumerate(MISTAKES):
        if (only and mistake not in only) or mistake not in possible(precision):
            continue
        rng = np.random.default_rng([seed, number])
        score = scores[mistake] = Score()
        for _ in range(count):
            case, planted = draw_case(mistake, rng)
            diagnosis = case.diagnose(precision, [planted], dumps=dumps)
            named = (
                is_named(planted, diagnosis, case.key.graph)
                and len(diagnosis.causes) == 1
                and not diagnosis.unexplained
            )
            score.tried += 1
            score.detected += not diagnosis.ok
            score.first += first_is_right(planted, diagnosis)
            score.named += named
            if not named or not first_is_right(planted, diagnosis):
                _print_result(planted, diagnosis)
        print(f"| {mistake} | {score.tried} | {score.detected} | {score.first} | {score.named} |", flush=True)
    return scores


def pairs(precision: str, count: int, seed: int) -> int:
    """Two mistakes at once: how often both are named."""
    rng, both = np.random.default_rng([seed, 1000]), 0
    for _ in range(count):
        while True:
            one, other = (str(name) for name in rng.choice(possible(precision), 2, replace=False))
            case, first = draw_case(one, rng)
            if not places(other, case.config, case.size, case.batch):
                continue
            second = draw(other, case.config, case.size, rng, case.batch)
            if compatible(first, second, case.config, case.size):
                break
        diagnosis = case.diagnose(precision, [first, second])
        named = [is_named(planted, diagnosis, case.key.graph) for planted in (first, second)]
        both += all(named)
        print(f"| {first.id} | {second.id} | {named[0]:d} | {named[1]:d} |", flush=True)
        if not all(named):
            _print_result(first, diagnosis)
            _print_result(second, diagnosis)
    return both


def correct(count: int, seed: int) -> int:
    """Ports that are right, in three precisions and with sums in another order: how many do not agree."""
    alarms = 0
    rng = np.random.default_rng([seed, 2000])
    for number in range(count):
        precision = ("float32", "bfloat16", "float64")[number % 3]
        order = None if number % 6 < 3 else int(rng.integers(2**31))
        case = Case(str(rng.choice(list(MODELS))), int(rng.integers(2**31)), int(rng.integers(1, 4)))
        diagnosis = case.diagnose(precision, order=order)
        if not diagnosis.ok:
            alarms += 1
            rows = [row for row in diagnosis.comparison.rows if not row.ok]
            print(
                f"  false alarm: {precision}, order {order}, batch {case.batch}: {[row.name for row in rows]}",
                flush=True,
            )
    return alarms


def _print_result(planted: Planted, diagnosis: Diagnosis) -> None:
    causes = [(cause.hypothesis.name, cause.hypothesis.detail, cause.places[0]) for cause in diagnosis.causes]
    first = diagnosis.comparison.first_error(planted.place.startswith("grad/"))
    print(
        f"  {planted}: first {first and first.name}, causes {causes}, unexplained {list(diagnosis.unexplained)}",
        flush=True,
    )


def main() -> int:
    """Print the table; 0 if the goals are met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of places, weights and images (default 0)")
    parser.add_argument("--precision", choices=("float64", "float32", "bfloat16"), default="float32")
    parser.add_argument(
        "--dumps",
        choices=list(DUMPS),
        default="all",
        help="the port's dump: modules' outputs, blocks', or gradients alone (default all)",
    )
    parser.add_argument("--places", type=int, default=3, metavar="N", help="for each mistake (default 3)")
    parser.add_argument("--pairs", type=int, default=20, metavar="N", help="(default 20)")
    parser.add_argument("--correct", type=int, default=50, metavar="N", help="(default 50)")
    parser.add_argument(
        "--only", nargs="+", default=[], choices=list(MISTAKES), metavar="MISTAKE", help="of these alone"
    )
    parser.add_argument("--sample", type=int, metavar="N", help="of N mistakes, drawn with the seed (default all)")
    options = parser.parse_args()
    if options.sample is not None:
        choices = options.only or possible(options.precision)
        drawn = np.random.default_rng([options.seed, 3000]).permutation(choices)[: options.sample].tolist()
        options.only = [mistake for mistake in choices if mistake in drawn]
    print(f"seed {options.seed}, {options.precision}\n")
    print("| mistake | planted | detected | first tensor right | cause right |\n| --- | --- | --- | --- | --- |")
    scores = singles(options.precision, options.places, options.seed, options.only, options.dumps)
    tried, detected, first, named = (
        sum(getattr(score, part) for score in scores.values()) for part in ("tried", "detected", "first", "named")
    )
    print(f"| all | {tried} | {detected} | {first} | {named} |")
    if options.pairs:
        print("\n| two mistakes | | first named | second named |\n| --- | --- | --- | --- |")
    both = pairs(options.precision, options.pairs, options.seed)
    print(f"\nboth of a pair named: {both} of {options.pairs}")
    alarms = correct(options.correct, options.seed)
    print(f"false alarms: {alarms} of {options.correct} correct ports")
    goals = detected == first == tried and named >= 0.95 * tried and both >= 0.8 * options.pairs and not alarms
    return 0 if goals else 1


if __name__ == "__main__":
    sys.exit(main())
