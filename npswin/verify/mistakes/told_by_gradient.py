"""What the gradient by an input tells of the forward pass: the input was changed before the operation read it.

Where a port computes f(P a, b) in place of f(a, b) with a linear P, its gradient by a is Pᵀ times the right one. So a
P that the result does not show, as it sums over what P changes, can be read off the gradient: entries in other places,
factors, mixtures, and the zeros and the factor of a dropout. It is believed where f(P a, b) is the port's result, in
all numbers that get a gradient: of the others, such as those of padding, no gradient tells.
"""

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np

from npswin.types import Array
from npswin.verify.fits.explanation import Evidence, Pair, replaced_where, times
from npswin.verify.fits.families import first_explanation, linear_explanations
from npswin.verify.fits.left_out import left_out_words
from npswin.verify.fits.pruned import words_of_smallest
from npswin.verify.graph import GRADIENT_PREFIX, Node, Run
from npswin.verify.mistakes.axis_parts import axis_parts
from npswin.verify.mistakes.fitted_tensors import Fit
from npswin.verify.mistakes.mistake import change_node, is_output_of, transform_input, transform_output

MARGIN = 8.0  # times the tolerance of the result, relative to the largest number: a gradient has longer sums
SMALLEST_SHARE = 0.002  # of numbers that are 0
DEVIATIONS = 4.0  # of the share of zeros from a dropout's rate
LARGEST_SHARE_UNTOLD = 0.5  # of the result's numbers
NEAR_ONE = 1e-4  # a factor nearer to 1 is 1
ROUNDING = 1e-6  # of the largest number of a gradient: smaller ones may be rounding errors of 0
SMALLEST = 1e-20  # of the largest number of a gradient: a port may have 0 in place of smaller ones
MOST_EXPLANATIONS = 4  # of a gradient


def fit_by_gradient(run: Run, name: str, found: Array, tolerance: float) -> Iterator[Fit]:
    """Explanations of a tensor by an input that was changed, as the port's gradient by this input tells.

    Args:
        run: the graph on the port's own inputs, with its gradients.
        name: the symptom.
        found: the port's tensor.
        tolerance: the largest difference of equal numbers.
    """
    node = run.graph.nodes.get(name)
    if node is None or node.operation is None or GRADIENT_PREFIX + name not in run.given:
        return
    if not np.isfinite(found).all() or run.compute(name).shape != found.shape:
        return
    relative = MARGIN * tolerance / max(float(np.abs(run.compute(name)).max()), 1e-300)
    fits: list[Fit] = []
    for index, read in enumerate(node.inputs):
        if GRADIENT_PREFIX + read not in run.given or run.graph.consumers[read] != [name]:
            continue
        gradient, right = run.gradient(read), run.compute(GRADIENT_PREFIX + read)
        if gradient.shape != right.shape or not np.isfinite(gradient).all():
            continue
        parts = axis_parts(run.graph, read, right.shape)
        evidence = Evidence(gradient, right, parts, relative * float(np.abs(right).max()), {})
        if not evidence.agrees(right):
            fits += _changed_inputs(run, node, index, found, tolerance, evidence)
    yield from sorted(fits, key=lambda fit: (fit.fitted, len(fit.detail)))


def _changed_inputs(
    run: Run, node: Node, index: int, found: Array, tolerance: float, evidence: Evidence
) -> Iterator[Fit]:
    """The changes of an input that its gradient tells, of which the port's tensor is the result."""
    assert node.operation is not None
    read, inputs = node.inputs[index], [run.value(each) for each in node.inputs]
    told = [
        (transposed(one.pair), one.words, one.fitted)
        for one in islice(linear_explanations(evidence), MOST_EXPLANATIONS)
    ]
    mask = zeros_and_a_factor(evidence, inputs[index])
    if mask is not None:
        words = mask.words(inputs[index], is_output_of(node, "mix") and index == 0)
        told.append((times(mask.scale), words, 1))
    dy = np.abs(run.gradient(node.name))
    untold = dy <= ROUNDING * dy.max()
    for pair, words, fitted in told:
        changed = pair[0](inputs[index])[0]
        arguments = [*inputs[:index], changed, *inputs[index + 1 :]]
        y = node.operation.forward(*arguments, **node.settings)[0]
        wrong = np.abs(y - found) > 2 * tolerance
        if (wrong & ~untold).any() or wrong.mean() > LARGEST_SHARE_UNTOLD:
            continue
        rounding = 1e-9 * float(np.abs(changed).max())
        direct = first_explanation(Evidence(changed, inputs[index], evidence.axes, rounding, {}))
        if direct is not None and direct.fitted <= fitted:
            words, pair, fitted = direct.words, direct.pair, direct.fitted
        if np.array_equal(changed, np.maximum(inputs[index], 0)):
            words = "its negative numbers are 0: ReLU is applied"
        operation = transform_input(node.operation, index, pair)
        if wrong.any():
            operation = transform_output(operation, replaced_where(wrong, found))
        yield Fit(f"{read}: {words}", change_node(node, operation), fitted)
        return


def transposed(pair: Pair) -> Pair:
    """The transpose of a linear function from an array to one of its shape."""

    def forward(x: Array) -> tuple[Array, object]:
        return pair[1](x, pair[0](np.zeros_like(x))[1]), None

    return forward, lambda dy, _: pair[0](dy)[0]


class ZerosAndAFactor(NamedTuple):
    """What dropout multiplies by.

    Attributes:
        scale: 0 or the factor, of the input's shape.
        factor: of the numbers that are kept.
        share: of the numbers that are 0, among those of which the gradient tells.
        numbers: how many those are.
    """

    scale: Array
    factor: float
    share: float
    numbers: int

    def words(self, x: Array, of_attention: bool) -> str:
        """Which numbers of x are 0, and whether that is a dropout."""
        others = "stay" if abs(self.factor - 1) < NEAR_ONE else f"are multiplied by {self.factor:.4g}"
        rate = 1 - 1 / self.factor
        if rate > 0 and abs(self.share - rate) <= DEVIATIONS * np.sqrt(rate * (1 - rate) / self.numbers):
            kind = "attention dropout" if of_attention else "dropout"
            return f"{kind} is left on: {rate:.1%} of the numbers are drawn and 0, the others {others}"
        which = words_of_smallest(self.scale == 0, np.abs(x))
        if which and others == "stay":
            return which
        if of_attention and (keys := left_out_words(self.scale == 0, x)[0]):
            return f"not multiplied are {keys}; the others {others}"
        return f"{self.share:.1%} of the numbers are 0, the others {others}"


def zeros_and_a_factor(evidence: Evidence, x: Array) -> ZerosAndAFactor | None:
    """0 or one factor for each number of x, as dropout has it; None where its gradient shows no such multiples."""
    found, right = evidence.found, evidence.right
    told = np.abs(right) > SMALLEST * np.abs(right).max()
    clear = np.abs(right) > 2 * evidence.tolerance
    is_zero = (found == 0) | (np.abs(found) <= evidence.tolerance) & clear
    dropped, kept = told & is_zero, told & ~is_zero
    if dropped.sum() < SMALLEST_SHARE * found.size or not kept.any() or not clear.any():
        return None
    factor = float((found * right)[kept].sum() / (right[kept] ** 2).sum())
    scale = np.where(dropped, 0.0, factor)
    if not evidence.agrees(scale * right, max(1.0, abs(factor))):
        return None
    scale = np.where(_also_untold(dropped, told, np.abs(x)), 0.0, factor)
    return ZerosAndAFactor(scale, factor, float(dropped[clear].mean()), int(clear.sum()))


def _also_untold(dropped: Array, told: Array, size: Array) -> Array:
    """The numbers that are 0, also those of which no gradient tells: by place, by size, or as many in each row."""
    if size.ndim > 2:  # the same pairs of query and key in each window
        pairs = np.broadcast_to(dropped.any(axis=tuple(range(size.ndim - 2))), size.shape)
        if np.array_equal(pairs & told, dropped):
            return pairs
    below = size <= size[dropped].max()
    if np.array_equal(below & told, dropped):
        return below
    counts = dropped.sum(axis=-1)
    count = int(np.bincount(counts.reshape(-1)[told.any(axis=-1).reshape(-1)]).argmax())
    smallest = size.argsort(axis=-1, kind="stable").argsort(axis=-1) < count
    return smallest if np.array_equal(smallest & told, dropped) else dropped
