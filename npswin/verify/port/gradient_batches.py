"""Gradients of parameters that are those of a part of the batch, while those of activations are right.

So it is where gradients are overwritten by the last micro-batch, or where one process' part is dumped.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from npswin.types import Array
from npswin.verify.graph import GRADIENT_PREFIX, Run
from npswin.verify.port.cause import Hypothesis
from npswin.verify.port.gradient_images import MOST_IMAGES, NUMBERS_PER_IMAGE, weighted
from npswin.verify.port.gradient_rules import Parameters, Update, hypothesis_of, replaced_by, wrong_parameters
from npswin.verify.port.gradient_symptoms import GradientSymptoms

ROUNDING = 5e-3  # by which a weight may differ from 0, or from another one
MOST_NUMBERS = 2**20  # of gradients that are used for the fit
FEWEST_PARAMETERS = 4  # that are wrong together
MOST_PARAMETERS = 8  # with which the weights are fitted


def batch_hypotheses(wrong: GradientSymptoms) -> Iterator[Hypothesis]:
    """The weights of the images in the parameters' gradients, some of them 0."""
    parameters = wrong_parameters(wrong, FEWEST_PARAMETERS)
    batch = len(wrong.run.value(wrong.loss.inputs[1]))
    if parameters is None or not 2 <= batch <= MOST_IMAGES:
        return
    chosen = [name for name, one in parameters.wrong.items() if one.found.size <= MOST_NUMBERS][:MOST_PARAMETERS]
    if sum(parameters.wrong[name].found.size for name in chosen) < NUMBERS_PER_IMAGE * batch:
        return
    runs = [_run(wrong, np.eye(batch)[image]) for image in range(batch)]
    columns = [np.concatenate([_gradient(run, name).reshape(-1) for name in chosen]) for run in runs]
    found = np.concatenate([parameters.wrong[name].found.reshape(-1) for name in chosen])
    weights = np.linalg.lstsq(np.stack(columns, axis=1), found, rcond=None)[0]
    largest = float(np.abs(weights).max())
    kept = np.abs(weights) > ROUNDING * largest
    if not np.isfinite(weights).all() or kept.all() or not kept.any() or np.ptp(weights[kept]) > ROUNDING * largest:
        return
    exact = next((one for one in (1.0, batch / kept.sum()) if abs(weights[kept].mean() / one - 1) <= ROUNDING), None)
    if exact is not None:
        run = _run(wrong, kept * exact)
        yield from _of_images(wrong, parameters, kept, exact, {name: _gradient(run, name) for name in parameters.wrong})


def _of_images(
    wrong: GradientSymptoms, parameters: Parameters, kept: Array, weight: float, gradients: Mapping[str, Array]
) -> Iterator[Hypothesis]:
    rules = {
        name: replaced_by(gradient, parameters.wrong[name], parameters.near) for name, gradient in gradients.items()
    }
    if not parameters.given_by(rules):
        return
    images = ", ".join(map(str, np.flatnonzero(kept)))
    which = f"image {images}" if kept.sum() == 1 else f"images {images}"
    how = "divided by the whole batch" if weight == 1 else "averaged over these"
    description = (
        f"the parameters' gradients are those of {which} of the batch alone, {how}; those of activations are of all: "
        "each micro-batch overwrites them, or one process' part is dumped"
    )
    fix = "add the gradients of all micro-batches, and average them over processes"
    yield hypothesis_of(wrong, Update("images-left-out", description, fix, None, False, rules))


def _run(wrong: GradientSymptoms, weights: Array) -> Run:
    """The right backward pass with weights of the images."""
    given = {name: array for name, array in wrong.run.given.items() if not name.startswith(GRADIENT_PREFIX)}
    return Run(wrong.graph.replaced(weighted(wrong, weights)), given)


def _gradient(run: Run, name: str) -> Array:
    return np.asarray(run.gradient(name), np.float64)
