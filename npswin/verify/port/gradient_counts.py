"""Gradients that are each multiplied by a number of their own: one over so many tokens, windows or channels.

Where a mean is taken in place of a sum, or the other way round, the factor differs from tensor to tensor, and is a
power of the same count in all of them.
"""

import math
from collections.abc import Iterator

from npswin.verify.mistakes.axis_parts import split_names
from npswin.verify.port.cause import Hypothesis
from npswin.verify.port.gradient_factors import SIGMAS, is_multiple, multiplied_by
from npswin.verify.port.gradient_kinds import those
from npswin.verify.port.gradient_symptoms import GradientSymptoms, with_gradients

WINDOWS = "nW"  # the name of an axis
POWERS = {-1.0: "1 / {}", 1.0: "{}", -0.5: "1 / the root of {}", 0.5: "the root of {}"}
FEWEST_FACTORS = 2  # different ones: a single one is any number
FIX = "a gradient is the sum over all tokens, windows and images that use the tensor"


def count_hypotheses(wrong: GradientSymptoms) -> Iterator[Hypothesis]:
    """The first wrong gradient and others, each multiplied by the same power of its own count."""
    if not _has_factor(wrong, wrong.first):
        return
    counts = {name: _counts(wrong, name) for name in wrong.wrong if _has_factor(wrong, name)}
    place = wrong.graph.consumers[wrong.first][0]
    for count in counts[wrong.first]:
        for power, text in POWERS.items():
            factors = {
                name: own[count] ** power
                for name, own in counts.items()
                if count in own and _is_factor(wrong, name, own[count] ** power)
            }
            if wrong.first not in factors or len(set(factors.values())) < FEWEST_FACTORS:
                continue
            endings = {name.split(".")[-1] for name in factors}
            once = [name for name in wrong.right_factors if name.split(".")[-1] in endings]
            once = [name for name in once if _counts(wrong, name).get(count) == 1]  # they do not show it
            what = min((those(wrong, [*factors, *more]) for more in ([], once)), key=len)
            description = f"the gradients of {what} are multiplied by {text.format(count)}"
            changes = with_gradients(wrong.graph, {name: multiplied_by(one) for name, one in factors.items()})
            numbers = ", ".join(f"{one:.4g}" for one in sorted(set(factors.values()), reverse=True))
            detail = f"{len(factors)} tensors, by {numbers}"
            texts = "gradients-counted", description, FIX, detail, place
            one = Hypothesis(*texts, changes, backward=True, everywhere=True)
            one.rank = 1  # behind another derivative of one operation
            yield one


def _has_factor(wrong: GradientSymptoms, name: str) -> bool:
    one = wrong.wrong[name]
    return is_multiple(one.factor, one.residual)


def _is_factor(wrong: GradientSymptoms, name: str, factor: float) -> bool:
    one = wrong.wrong[name]
    return abs(one.factor / factor - 1) <= wrong.nearness + SIGMAS * one.uncertainty


def _counts(wrong: GradientSymptoms, name: str) -> dict[str, float]:
    """What is counted where a tensor is used: the rows of the result of the first operation that reads it."""
    node = wrong.graph.nodes[wrong.graph.consumers[name][0]]
    shape, size = wrong.run.value(node.name).shape, wrong.run.value(name).shape
    if len(shape) < 2:
        return {}
    rows, batch = math.prod(shape[:-1]), len(wrong.run.value(wrong.loss.inputs[1]))
    windows = shape[1] if WINDOWS in split_names(node.axes) else 1
    counts = {
        "the tokens of an image, or of a window where it is used in windows": rows / (batch * windows),
        "the tokens of an image": rows / batch,
        "the tokens of all images": rows,
        "the images, or all windows where it is used in windows": batch * windows,
        "the windows of an image": windows,
        "the channels of the result": shape[-1],
        "the numbers of the result": rows * shape[-1],
        "the numbers of the tensor": math.prod(size),
    }
    return counts | ({"the columns of the weight": math.prod(size[1:])} if len(size) > 1 else {})
