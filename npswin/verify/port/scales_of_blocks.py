"""One scale of the queries in every block, whatever the heads' dimension is there."""

import math

import numpy as np

from npswin.types import Array
from npswin.verify.fits.factors import factor_words, simple_factor
from npswin.verify.graph import Node, Run
from npswin.verify.mistakes import Changes
from npswin.verify.mistakes.mistake import change_node, is_output_of
from npswin.verify.port.cause import Hypothesis

SAME = 1e-4  # relative difference of two blocks' factors, up to which they are one
FEWEST = 4  # blocks, or all if there are fewer, whose scaled queries the port has to have dumped


def constant_scale_hypotheses(symptom: str, found: Array, run: Run) -> list[Hypothesis]:
    """A constant scale, fitted to all blocks: in a single one it may be that of another mistake.

    Args:
        symptom: a tensor's name.
        found: the port's tensor of this name.
        run: the graph on the port's tensors.
    """
    alike = [one for one in run.graph.nodes.values() if is_output_of(one, "scale")]
    given = [one for one in alike if one.name in run.given]
    if symptom not in [one.name for one in alike] or len(given) < min(FEWEST, len(alike)) or len(alike) < 2:
        return []
    factor = _factor(run, run.graph.nodes[symptom], found)
    if not factor or not all(
        math.isclose(_factor(run, one, run.given[one.name]), factor, rel_tol=SAME) for one in given
    ):
        return []
    scales = {one.settings["factor"] for one in alike}
    named = [1.0]  # those of the catalogue, which are the same in every block
    if len(scales) == 1:
        scale = next(iter(scales))
        named += [scale**2, 1 / scale, scale * math.log2(math.e)]
    if any(math.isclose(factor, one, rel_tol=SAME) for one in named):
        return []
    factor, words = simple_factor(factor)
    changes: Changes = {}
    for one in alike:
        changes |= change_node(one, settings={"factor": factor})
    multiple = f", {factor_words(factor / scales.pop())} times 1/√d" if len(scales) == 1 else ""
    fit = Hypothesis(
        "scale-other", "the queries are scaled by something else", "q is divided by √d",
        f"by the constant {words} in every block{multiple}", symptom, changes, fitted=True, everywhere=True,
    )  # fmt: skip
    fit.fitted_numbers = 1
    return [fit]


def _factor(run: Run, node: Node, found: Array) -> float:
    """What the queries are multiplied by, by least squares; 0 if that is unknown."""
    q = run.value(node.inputs[0])
    squares = float((q * q).sum())
    factor = float((found * q).sum()) / squares if squares and q.shape == found.shape else 0.0
    return factor if np.isfinite(factor) else 0.0
