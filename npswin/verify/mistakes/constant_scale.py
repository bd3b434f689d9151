"""A scale of the queries that is one number in every block, whatever the heads' dimension is there."""

import math
from collections.abc import Iterator

import numpy as np

from npswin.types import Array
from npswin.verify.fits.factors import simple_factor
from npswin.verify.graph import Node, Run
from npswin.verify.mistakes.fitted import Fit, FittedMistake
from npswin.verify.mistakes.mistake import Changes, change_node, is_output_of

SAME = 1e-4  # relative difference of two blocks' factors, up to which they are one
FEWEST = 4  # blocks, or all if there are fewer, whose scaled queries the port has to have dumped


def constant_scale(run: Run, symptom: str, found: Array, place: str) -> Iterator[Fit]:
    """The scale of all blocks, where the port's queries have the same in each; arguments as for `FittedMistake.fit`."""
    node = run.graph.nodes.get(symptom)
    if place != symptom or node is None or not is_output_of(node, "scale"):
        return
    factor = _factor(run, node, found)
    alike = [one for one in run.graph.nodes.values() if is_output_of(one, "scale")]
    given = [one for one in alike if one.name in run.given]
    if not factor or len(given) < min(FEWEST, len(alike)) or len(alike) < 2:
        return
    if all(math.isclose(_factor(run, one, run.given[one.name]), factor, rel_tol=SAME) for one in given):
        factor, words = simple_factor(factor)
        changes: Changes = {}
        for one in alike:
            changes |= change_node(one, settings={"factor": factor})
        yield f"by the constant {words} in every block", changes


def _factor(run: Run, node: Node, found: Array) -> float:
    """What the queries are multiplied by, by least squares; 0 if that is unknown."""
    q = run.value(node.inputs[0])
    squares = float((q * q).sum())
    factor = float((found * q).sum()) / squares if squares and q.shape == found.shape else 0.0
    return factor if np.isfinite(factor) else 0.0


CONSTANT_SCALE = FittedMistake(
    "scale-other", "the queries are scaled by something else", "q is divided by √d", constant_scale
)
