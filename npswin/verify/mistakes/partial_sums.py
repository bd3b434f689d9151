"""Linear layers whose sums end early or begin late, by other numbers of terms for each output.

A loop or a file that ends too early leaves y_rc = Σ_{i<k} x_ri w_ci + b_c, with a k for each output c. All sums
with 0, 1, 2, ... terms are compared with the port's numbers, so that a few rows are enough, where a weight cannot be
recovered.
"""

from collections.abc import Iterator
from itertools import product

import numpy as np

from npswin.types import Array
from npswin.verify.fits.explanation import times
from npswin.verify.graph import Run
from npswin.verify.mistakes.fitted_tensors import Fit
from npswin.verify.mistakes.mistake import change_node, is_output_of, transform_input

MOST_SUMS = 2**22
FEWEST_ROWS, MOST_ROWS = 2, 64


def fit_partial_sums(run: Run, name: str, found: Array, tolerance: float) -> Iterator[Fit]:
    """Explanations of a linear layer's output by sums over a part of its terms.

    Args:
        run: the graph on the port's own inputs.
        name: the symptom.
        found: the port's tensor, (..., outputs).
        tolerance: the largest difference of equal numbers.
    """
    node = run.graph.nodes.get(name)
    if node is None or not is_output_of(node, "linear") or not np.isfinite(found).all():
        return
    assert node.operation is not None
    x, weight, *biases = (np.asarray(run.value(read), np.float64) for read in node.inputs)
    rows, wanted = x.reshape(-1, x.shape[-1]), found.reshape(-1, len(weight))
    if len(rows) != len(wanted) or len(rows) < FEWEST_ROWS:
        return
    few = slice(None, None, -(-len(rows) // MOST_ROWS))
    if rows[few].size * len(weight) > MOST_SUMS:
        return
    bias = biases[0] if biases else np.zeros(len(weight))
    begins, ends, added = _terms(rows[few], weight, bias, wanted[few], 2 * tolerance)
    if begins is None or not (begins.any() or (ends < weight.shape[1]).any() or not added.all()):
        return
    index = np.arange(weight.shape[1])
    kept = (index >= begins[:, None]) & (index < ends[:, None])
    if np.abs(rows @ (weight * kept).T + bias * added - wanted).max() > 2 * tolerance or not kept.any():
        return
    operation = transform_input(node.operation, 1, times(kept.astype(float)))
    if biases and not added.all():
        operation = transform_input(operation, 2, times(added.astype(float)))
    are_alike = all(np.ptp(each) == 0 for each in (begins, ends, added.astype(int)))
    words = _words(node.inputs, begins, ends, added, weight.shape[1])
    yield Fit(words, change_node(node, operation), int(not are_alike))


def _terms(x: Array, weight: Array, bias: Array, wanted: Array, tolerance: float) -> tuple[Array | None, Array, Array]:
    """For each output the first term, the one after the last, and whether the bias is added; None if there are none.

    Args:
        x: (rows, terms).
        weight: (outputs, terms).
        bias: (outputs,).
        wanted: (rows, outputs).
        tolerance: the largest difference of equal numbers.
    """
    terms = x[:, None, :] * weight  # (rows, outputs, terms)
    sums = np.concatenate([np.zeros((*terms.shape[:2], 1)), terms.cumsum(axis=2)], axis=2)
    count = weight.shape[1]
    begins, ends = np.zeros(len(weight), int), np.full(len(weight), count)
    added, known = np.ones(len(weight), bool), np.zeros(len(weight), bool)
    for late, with_bias in product((False, True), (True, False)):
        partial = (sums[:, :, -1:] - sums if late else sums) + (bias * with_bias)[:, None]
        errors = np.abs(partial - wanted[:, :, None]).max(axis=0)  # (outputs, 0 to all terms)
        best = count - errors[:, ::-1].argmin(axis=1) if not late else errors.argmin(axis=1)
        fits = ~known & (np.take_along_axis(errors, best[:, None], axis=1)[:, 0] <= tolerance)
        begins, ends = np.where(fits & late, best, begins), np.where(fits & (not late), best, ends)
        added, known = np.where(fits, with_bias, added), known | fits
        if with_bias and known.all():
            break
    return (begins if known.all() else None), ends, added


def _words(inputs: tuple[str, ...], begins: Array, ends: Array, added: Array, count: int) -> str:
    """In words which terms are left out: the same of all outputs, or those that stand last in memory, or how many."""
    left_out = begins + count - ends
    words = []
    if left_out.any() and np.ptp(left_out) == 0 and np.ptp(begins) == 0:
        part, verb = ("half of the", "is") if 2 * left_out[0] == count else (str(left_out[0]), "are")
        words.append(f"the {'first' if begins[0] else 'last'} {part} terms {verb} not in the sums")
    elif left_out.any():
        cut = int(left_out.sum())
        first = count * len(ends) - cut
        in_memory = np.clip(first - count * np.arange(len(ends)), 0, count)
        if not begins.any() and np.array_equal(in_memory, ends):
            words.append(f"the last {cut} of the {count * len(ends)} numbers of {inputs[1]} are 0")
        else:
            some = np.flatnonzero(left_out)
            part = " or ".join(["first"] * bool(begins.any()) + ["last"] * bool((ends < count).any()))
            listed = ", ".join(f"{left_out[output]} of output {output}" for output in some[:4])
            words.append(f"the {part} terms of sums are left out: {listed}{', ...' if some.size > 4 else ''}")
    if not added.all():
        without = np.flatnonzero(~added)
        all_last = without[0] == len(added) - without.size
        which = "" if without.size == len(added) else f"the last {without.size} numbers of " if all_last else "some of "
        words.append(f"{which}{inputs[2]} {'is' if not which else 'are'} not added")
    return "; ".join(words)
