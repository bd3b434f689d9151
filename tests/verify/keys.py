"""Small models and keys for the tests of the answer key."""

from functools import lru_cache
from pathlib import Path

import numpy as np

from npswin.data import IMAGENET_MEAN, IMAGENET_STD
from npswin.models import SwinTransformer
from npswin.verify.graph import GRADIENT_PREFIX, Arithmetic, Graph, Run
from npswin.verify.key.golden import EVEN_MINIATURE, MINIATURE, draw_labels, draw_pixels, randomize_weights
from npswin.verify.key.trace import Trace, trace
from npswin.verify.key.write import write_key
from npswin.verify.mistakes import CATALOGUE, Mistake
from npswin.verify.port.candidate import Candidate, in_memory

SCALE = (IMAGENET_MEAN, IMAGENET_STD)


def random_model(seed=0, dtype="float64", **changes) -> SwinTransformer:
    """The miniature model, or one of other arguments, with random weights, each of which changes the result."""
    model = SwinTransformer(**{**MINIATURE, "dtype": dtype, **changes})
    randomize_weights(model, seed)
    return model


@lru_cache
def miniature_trace() -> Trace:
    """The trace of `npswin golden --backward` with its defaults."""
    return trace(random_model(), draw_pixels(0, 2, (10, 14)), draw_labels(0, 2, 5), normalization=SCALE)


@lru_cache
def even_trace() -> Trace:
    """The trace of the second case of that key, with even windows."""
    model = random_model(**EVEN_MINIATURE)
    return trace(model, draw_pixels(0, 2, EVEN_MINIATURE["img_size"]), draw_labels(0, 2, 5), normalization=SCALE)


def default_key(folder) -> Path:
    """The answer key of `npswin golden --backward`: both cases."""
    write_key(even_trace(), folder / "even")
    return write_key(miniature_trace(), folder, cases=["even"])


@lru_cache
def odd_trace() -> Trace:
    """Three stages whose maps are 14×11, 7×6 and 4×3: pixels, merging and windows are padded both ways."""
    model = random_model(img_size=(27, 21), embed_dim=6, depths=(2, 2, 2), num_heads=(1, 2, 3), mlp_ratio=2.0)
    return trace(model, draw_pixels(0, 2, (27, 21)), draw_labels(0, 2, 5), normalization=SCALE)


def computed(graph: Graph, sources, precision="float64", seed=None) -> dict[str, np.ndarray]:
    """Every tensor and gradient of a graph, as a port in that precision would dump them."""
    run = Run(graph, sources, Arithmetic(precision, None if seed is None else 1000 + seed))
    found = {name: run.value(name) for name in graph.computed}
    return found | {GRADIENT_PREFIX + name: run.gradient(name) for name in graph.backward_order()}


def right(precision="float64", seed=0, **changes):
    """The dump of a correct port, with some tensors replaced."""
    key = miniature_trace()
    return computed(key.graph, key.sources, precision, seed) | changes


def mistake_named(name: str) -> Mistake:
    """A mistake of the catalogue."""
    return next(mistake for mistake in CATALOGUE if mistake.name == name)


def candidate_of(tensors, shapes) -> Candidate:
    """A candidate with these arrays, without a file."""
    found = {name: in_memory(array) for name, array in tensors.items()}
    return Candidate(found, shapes, "these tensors")


def without_mistake(monkeypatch, name):
    """Remove a mistake from the catalogue of the search."""
    rest = tuple(mistake for mistake in CATALOGUE if mistake.name != name)
    monkeypatch.setattr("npswin.verify.port.hypotheses.CATALOGUE", rest)
