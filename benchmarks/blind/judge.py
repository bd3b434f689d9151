"""Draws a problem, lets a port compute it, and judges the diagnosis."""

import re
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.blind.swin import Port
from npswin import SwinTransformer, trace
from npswin.data import IMAGENET_MEAN, IMAGENET_STD
from npswin.verify.key.golden import draw_labels, draw_pixels, randomize_weights
from npswin.verify.key.trace import Trace
from npswin.verify.port.candidate import Candidate, in_memory
from npswin.verify.port.comparer import Comparer
from npswin.verify.port.comparison import Row
from npswin.verify.port.diagnosis import Diagnosis
from npswin.verify.port.search import search_mistakes

Arrays = dict[str, np.ndarray]

DUMPS = {
    "all": r".*",
    "blocks": r"(grad/)?(input|patch_embed\.norm|layers\.\d+\.(blocks\.\d+|downsample\.reduction)|norm|avgpool)"
    r"|(grad/)?(head|loss)|grad/.*(weight|bias|table)",
    "logits": r"head|loss",
}
MODEL: dict[str, Any] = {
    "patch_size": 2,
    "num_classes": 5,
    "embed_dim": 6,
    "depths": (2, 2),
    "num_heads": (2, 3),
    "mlp_ratio": 2.0,
    "drop_path_rate": 0.0,
}
# Size of the image and window, one for each seed in turn. The first stage's map is padded, the second's is one window.
SIZES = (((12, 10), 3), ((16, 14), 4), ((20, 18), 5))
CHANGED = 1e-6  # a relative difference from the port without a mistake that counts as a change


@dataclass
class Verdict:
    """What a diagnosis says about a mistake.

    Attributes:
        id, says: the mistake.
        expected: the tensor at which it is made.
        changed: whether the mistake changes a dumped tensor.
        detected: whether a tensor does not agree.
        first: the first tensor that does not agree.
        first_right: whether that is the first one that the mistake changes.
        cause: "named": the first cause is a mistake that describes it, at the right place; "described": a cause
            with fitted numbers does; "wrong": the first cause is another one; "none": there is no cause.
        causes, unexplained: of the diagnosis.
        timed_out: whether the diagnosis reached its time limit.
        seconds: how long the diagnosis took.
    """

    id: str
    says: str
    expected: str
    changed: bool
    detected: bool = False
    first: str = ""
    first_right: bool = False
    cause: str = "none"
    causes: list[dict[str, Any]] = field(default_factory=list)
    unexplained: dict[str, list[str]] = field(default_factory=dict)
    timed_out: bool = False
    seconds: float = 0.0


class Problem:
    """A model, images and their answer key, drawn from a seed."""

    def __init__(self, seed: int, dumps: str = "all") -> None:
        size, window = SIZES[seed % len(SIZES)]
        model = SwinTransformer(**MODEL, img_size=size, window_size=window, dtype="float64")
        randomize_weights(model, seed)
        pixels, labels = draw_pixels(seed, 2, size), draw_labels(seed, 2, model.num_classes)
        self.key: Trace = trace(model, pixels, labels, normalization=(IMAGENET_MEAN, IMAGENET_STD))
        self.arguments = (dict(model.config), dict(model.params), pixels, labels, seed)
        self.names = re.compile(DUMPS[dumps])
        self.correct = self.dump(Port)

    def dump(self, port: type[Port]) -> Arrays:
        """What a port dumps."""
        found = port(*self.arguments).run()
        return {name: array for name, array in found.items() if self.names.fullmatch(name)}

    def diagnose(self, dump: Arrays, seconds: float) -> Diagnosis:
        """The diagnosis of a dump."""
        found = {name: in_memory(array) for name, array in dump.items()}
        return search_mistakes(Comparer(self.key, Candidate(found, self.key.shapes, "dump"), None), None, seconds)

    def changed(self, dump: Arrays) -> list[str]:
        """The tensors that differ from the correct port's, in order of computation."""
        return [
            name for name in self.key.shapes if name in self.correct and differs(self.correct[name], dump.get(name))
        ]

    def judge(self, name: str, mistake: type[Port], seconds: float) -> Verdict:
        """Plant a mistake and judge the diagnosis."""
        dump = self.dump(mistake)
        changed = self.changed(dump)
        verdict = Verdict(name, " ".join((mistake.__doc__ or "").split()), mistake.born, bool(changed))
        if not changed:
            return verdict
        start = time.monotonic()
        diagnosis = self.diagnose(dump, seconds)
        verdict.seconds = round(time.monotonic() - start, 2)
        comparison = diagnosis.comparison
        first: Row | None = comparison.first_error() or comparison.first_error(backward=True)
        verdict.detected = not comparison.ok
        verdict.first = first.name if first else ""
        verdict.first_right = verdict.first == (mistake.born if mistake.born in dump else changed[0])
        verdict.causes = [
            {
                "says": str(cause.hypothesis),
                "symptom": cause.symptom,
                "places": cause.places,
                "fitted": cause.hypothesis.fitted,
                "explained": len(cause.explained),
            }
            for cause in diagnosis.causes
        ]
        verdict.unexplained = {at: [str(one) for one in nearest] for at, nearest in diagnosis.unexplained.items()}
        verdict.timed_out = diagnosis.timed_out
        verdict.cause = cause_verdict(verdict, mistake)
        return verdict


def cause_verdict(verdict: Verdict, mistake: type[Port]) -> str:
    """ "named", "described", "wrong" or "none"."""
    first_unexplained = not verdict.causes or verdict.first in verdict.unexplained
    if first_unexplained:
        return "none"
    cause = verdict.causes[0]
    if not re.search(mistake.cause, cause["says"], re.IGNORECASE):
        return "wrong"
    return "described" if cause["fitted"] else "named"


def differs(right: np.ndarray, found: np.ndarray | None) -> bool:
    """Whether an array differs by more than rounding."""
    if found is None or found.size != right.size:
        return True
    with np.errstate(all="ignore"):
        difference = np.linalg.norm(found.reshape(-1).astype(float) - right.reshape(-1).astype(float))
    return not difference <= CHANGED * np.linalg.norm(right.astype(float))
