"""Some gradients that are multiplied by the same number, or 0: what follows from one tensor, or is of one kind."""

import math
from collections.abc import Iterator

from npswin.verify.graph import GRADIENT_PREFIX, Graph, Node
from npswin.verify.mistakes.axis_parts import split_names
from npswin.verify.mistakes.mistake import is_output_of
from npswin.verify.port.cause import Hypothesis
from npswin.verify.port.gradient_factors import CommonFactor, Reading, common_factor, known_factors, multiplied_by
from npswin.verify.port.gradient_kinds import those
from npswin.verify.port.gradient_symptoms import GradientSymptoms, Rule, WrongGradient, is_seen, with_gradients

MOST_TOKENS = 10**4  # by which a pool may divide
UNDIVIDED = "the gradient is the sum over all tokens, windows and images that use the tensor, not their mean"


def zero_hypotheses(wrong: GradientSymptoms) -> Iterator[Hypothesis]:
    """Several gradients are 0: the path to them is cut, or they were never written."""
    zeros = [name for name, one in wrong.wrong.items() if one.is_zero]
    if wrong.first not in zeros or len(zeros) < 2:
        return
    what = those(wrong, zeros)
    from_tensor = _tensor_before(wrong, zeros)
    rules = {name: _zeros(wrong.wrong[name]) for name in zeros}
    if from_tensor is not None:
        description = f"the gradients of all that comes before {from_tensor} are 0: the backward pass stops there"
        fix = f"do not detach {from_tensor}; or, if what comes before it is frozen on purpose, leave its gradients out"
        changes = with_gradients(wrong.graph, {from_tensor: multiplied_by(0.0)})
        yield Hypothesis("gradient-detached", description, fix, _count(zeros), from_tensor, changes, backward=True)
    description = f"the gradients of {what} are 0: they are frozen, or were never written"
    fix = "compute and write the gradient of each (requires_grad)"
    place = wrong.graph.consumers[wrong.first][0]
    changes = with_gradients(wrong.graph, rules)
    yield Hypothesis("never-written", description, fix, _count(zeros), place, changes, backward=True)


def _zeros(wrong: WrongGradient) -> Rule:
    """The rule that makes 0, which has the rounding errors of the port's."""
    return lambda gradient, _: wrong.found.astype(gradient.dtype)


def set_hypotheses(wrong: GradientSymptoms) -> Iterator[Hypothesis]:
    """The first gradient and those of the same factor: what follows from one tensor, or is of one kind."""
    common = common_factor(wrong)
    if common is None:
        return
    place = wrong.graph.consumers[wrong.first][0]
    if len(common.tensors) == 1:
        yield _single(wrong, common, place)
        return
    readings = known_factors(common, wrong)
    factor, fitted = (readings[0].factor, False) if readings else (common.factor, True)
    from_tensor = _tensor_before(wrong, common.tensors)
    what = those(wrong, common.tensors)
    if from_tensor is not None:
        description = f"the gradient of {from_tensor}, and all that follow from it, are multiplied by {factor:.6g}"
        fix = f"the derivative by {from_tensor} has no such factor"
        changes = with_gradients(wrong.graph, {from_tensor: multiplied_by(factor)})
        text = "gradients-scaled", description, fix, _count(common.tensors)
        yield Hypothesis(*text, from_tensor, changes, backward=True, fitted=fitted)
    fix = "all gradients come from one loss; learning rates of their own act after the gradients"
    changes = with_gradients(wrong.graph, dict.fromkeys(common.tensors, multiplied_by(factor)))
    text = "gradients-scaled", f"the gradients of {what} are multiplied by {factor:.6g}", fix, _count(common.tensors)
    one = Hypothesis(*text, place, changes, backward=True, fitted=fitted)
    one.rank = 1  # behind the tensor from which they follow
    yield one


def _single(wrong: GradientSymptoms, common: CommonFactor, place: str) -> Hypothesis:
    """One gradient is multiplied."""
    of_loop = known_factors(common, wrong) if wrong.first in wrong.wrong_parameters else []
    readings = [*_means(wrong.graph.nodes[place], wrong, common), *of_loop]
    factor = readings[0].factor if readings else common.factor
    detail = f"by {factor:.6g}{': ' if readings else ''}{readings[0].text if readings else ''}"
    fix = readings[0].fix if readings else f"look at the derivative of {place}: its other results are right"
    changes = with_gradients(wrong.graph, {wrong.first: multiplied_by(factor)})
    return Hypothesis(
        "factor", "all of the gradient is multiplied", fix, detail, place, changes, True, fitted=not readings
    )


def _means(node: Node, wrong: GradientSymptoms, common: CommonFactor) -> Iterator[Reading]:
    """1/n where n numbers are summed: the mean over some of the output's axes."""
    shape, names = wrong.run.value(node.name).shape, split_names(node.axes)
    for last in range(1, len(shape)):
        count = math.prod(shape[:last])
        near = common.nearness
        if count > 1 and len(names) == len(shape) and abs(common.factor * count - 1) <= near:
            axes = ", ".join(names[:last])
            yield Reading("factor", 1 / count, f"1/{count}, the mean over {axes} rather than the sum", UNDIVIDED)
    if is_output_of(node, "mean_pool"):
        tokens = math.prod(wrong.run.value(node.inputs[0]).shape[1:3])
        divisor = round(tokens / common.factor)
        if 0 < divisor <= MOST_TOKENS and abs(common.factor * divisor / tokens - 1) <= common.nearness:
            text = f"it is divided by {divisor} in place of the {tokens} tokens of the map"
            yield Reading(
                "factor", tokens / divisor, text, "dx = dy / (H W) for each token, with the map's own H and W"
            )
    if is_output_of(node, "scale") and abs(common.factor * node.settings["factor"] - 1) <= common.nearness:
        text = "√d, the queries' scale is missing"
        yield Reading("factor", 1 / node.settings["factor"], text, "dq = (dS k) / √d")


def _tensor_before(wrong: GradientSymptoms, tensors: list[str]) -> str | None:
    """The last tensor of the forward pass through which exactly these gradients are computed; None if there is none."""
    graph, wanted = wrong.graph, set(tensors)
    comparable = {
        name.removeprefix(GRADIENT_PREFIX)
        for name in wrong.run.given
        if name.startswith(GRADIENT_PREFIX)
        and (name.removeprefix(GRADIENT_PREFIX) in wanted or is_seen(wrong.run, name.removeprefix(GRADIENT_PREFIX)))
    }
    for name in reversed(graph.computed):
        possible = name in graph.differentiable and name != wrong.loss.name
        if possible and _computed_from(graph, name, wrong) & comparable == wanted:
            return name
    return None


def _computed_from(graph: Graph, name: str, wrong: GradientSymptoms) -> set[str]:
    """The tensors whose gradients are computed from that of this one, itself included, with no given one between."""
    waiting, found = [name], {name}
    while waiting:
        inner = waiting.pop()
        if inner != name and GRADIENT_PREFIX + inner in wrong.run.given:
            continue
        for read in graph.nodes[inner].inputs:
            if read in graph.differentiable and read not in found:
                found.add(read)
                waiting.append(read)
    return found


def _count(tensors: list[str]) -> str:
    return f"{len(tensors)} tensors"
