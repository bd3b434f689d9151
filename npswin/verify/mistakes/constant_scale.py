"""A scale of the queries that is one number in every block, whatever the heads' dimension is there."""

from collections.abc import Iterator

import numpy as np

from npswin.types import Array
from npswin.verify.fits.factors import simple_factor
from npswin.verify.graph import Run
from npswin.verify.mistakes.fitted import Fit, FittedMistake
from npswin.verify.mistakes.mistake import Changes, change_node, is_output_of


def _constant(run: Run, symptom: str, found: Array, place: str) -> Iterator[Fit]:
    node = run.graph.nodes[place]
    if place != symptom or not is_output_of(node, "scale") or len(node.inputs) != 1:
        return
    q = run.value(node.inputs[0])
    if q.shape != found.shape or not q.any():
        return
    factor = float((found * q).sum() / (q * q).sum())
    if not np.isfinite(factor) or factor == 0:
        return
    factor, words = simple_factor(factor)
    alike = [one for one in run.graph.nodes.values() if is_output_of(one, "scale")]
    if len(alike) > 1:
        changes: Changes = {}
        for one in alike:
            changes |= change_node(one, settings={"factor": factor})
        yield f"by the constant {words} in every block", changes


CONSTANT_SCALE = (
    FittedMistake("scale-other", "the queries are scaled by something else", "q is divided by √d", _constant),
)
