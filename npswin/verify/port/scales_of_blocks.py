"""One scale of the queries in blocks whose scales should differ."""

from npswin.types import Array
from npswin.verify.graph import Run
from npswin.verify.mistakes.constant_scale import CONSTANT_SCALE, constant_scale
from npswin.verify.port.cause import Hypothesis


def constant_scale_hypotheses(symptom: str, found: Array, run: Run) -> list[Hypothesis]:
    """A constant scale, which may look like another mistake in each block, so that it is tried before those.

    Args:
        symptom: a tensor's name.
        found: the port's tensor of this name.
        run: the graph on the port's tensors.
    """
    one = CONSTANT_SCALE
    return [
        Hypothesis(one.name, one.description, one.fix, detail, symptom, changes, fitted=True, everywhere=True)
        for detail, changes in constant_scale(run, symptom, found, symptom)
        if len({run.graph.nodes[name].settings["factor"] for name in changes}) > 1
        and all(node.settings["factor"] != 1 for node in changes.values())  # 1: they are not scaled
    ]
