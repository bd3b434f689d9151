"""Gradients of parameters that are those of another step, on other images or with other weights, or added to these."""

from collections.abc import Iterator, Mapping

import numpy as np

from npswin.types import Array
from npswin.verify.graph import Run
from npswin.verify.port.cause import Hypothesis
from npswin.verify.port.gradient_kinds import those
from npswin.verify.port.gradient_rules import Parameters, Update, hypothesis_of, replaced_by, wrong_parameters
from npswin.verify.port.gradient_symptoms import GradientSymptoms

FEWEST_PARAMETERS = 4  # that are wrong together
RATES = (1e-3, 1e-2, 0.1)  # of a step of gradient descent
FIX = "set the gradients of all parameters to 0 before each backward pass, and dump those of one batch"


def step_hypotheses(wrong: GradientSymptoms) -> Iterator[Hypothesis]:
    """The gradients of a changed batch, or of the weights after a step, in place of the right ones, or added to them.

    None where the first wrong parameter was tried before.
    """
    parameters = wrong_parameters(wrong, FEWEST_PARAMETERS)
    if parameters is None or next(iter(parameters.wrong)) != wrong.first:
        return
    given = {name: array for name, array in wrong.run.given.items() if wrong.graph.nodes.get(name) is not None}
    sources = {name: array for name, array in given.items() if wrong.graph.nodes[name].operation is None}
    first = parameters.wrong[wrong.first]
    limit = parameters.near * float(np.abs(first.found).max()) + 2 * first.rounding
    for words, changed in _other_steps(wrong, sources):
        run = Run(wrong.graph, changed)
        other = np.asarray(run.gradient(wrong.first), np.float64)
        if np.abs(other - first.right).max() <= limit:  # as of images in reverse order with labels that stay the same
            continue
        for added in (True, False):
            if np.abs(other + added * first.right - first.found).max() <= limit:
                update = _update(wrong, parameters, run, words, added)
                if update is not None:
                    yield hypothesis_of(wrong, update)
                    return


def _other_steps(wrong: GradientSymptoms, sources: Mapping[str, Array]) -> Iterator[tuple[str, Mapping[str, Array]]]:
    """What may be another step, in words, and the graph's sources in it."""
    graph = wrong.graph
    images = next((name for name in ("pixels", "input") if name in graph.nodes and name in sources), None)
    if images is not None:
        x = sources[images]
        moved = {
            "the horizontally mirrored images": x[..., ::-1],
            "the vertically mirrored images": x[..., ::-1, :],
            "the images in reverse order, with the labels in place": x[::-1],
            "each time the next image, with the labels in place": np.roll(x, -1, axis=0),
            "each time the previous image, with the labels in place": np.roll(x, 1, axis=0),
        }
        for words, array in moved.items():
            if not np.array_equal(array, x):
                yield words, {**sources, images: array}
    run = Run(graph, sources)
    for rate in RATES:
        stepped = {name: run.value(name) - rate * run.gradient(name) for name in wrong.parameters}
        yield f"the same images with the weights after a step of rate {rate:g}", {**sources, **stepped}


def _update(wrong: GradientSymptoms, parameters: Parameters, run: Run, words: str, added: bool) -> Update | None:
    made = {
        name: np.asarray(run.gradient(name), np.float64) + added * one.right for name, one in parameters.wrong.items()
    }
    rules = {name: replaced_by(array, parameters.wrong[name], parameters.near) for name, array in made.items()}
    if not parameters.given_by(rules):
        return None
    which = those(wrong, list(made))
    are = "are still in" if added else "are in place of"
    description = f"gradients of another step, those of {words}, {are} the gradients of {which}"
    if added:
        description += ", which are not set to 0 between steps"
    return Update("gradients-of-another-step", description, FIX, None, False, rules)
