"""Mistakes of all blocks' attention are one cause, also where the blocks' sizes differ or some have no mask."""

import math
from itertools import chain

import pytest

from npswin.verify.mistakes.mistake import change_node, multiply_by, transform_input, transform_output
from npswin.verify.port.comparer import Comparer
from npswin.verify.port.search import search_mistakes
from tests.verify.keys import candidate_of, computed, mistake_named, odd_trace

GRAPH = odd_trace().graph  # heads of 6, 6 and 8 numbers
ATTENTION = [name.removesuffix(".q_scaled") for name in GRAPH.nodes if name.endswith(".q_scaled")]
SCALES = [f"{attention}.q_scaled" for attention in ATTENTION]


def causes(changes, without=()):
    graph, key = GRAPH.replaced(changes), odd_trace()
    tensors = computed(graph, key.sources, "float32", 3)
    given = {name: array for name, array in tensors.items() if not name.endswith(tuple(without))}
    diagnosis = search_mistakes(Comparer(key, candidate_of(given, key.shapes)))
    assert not diagnosis.unexplained
    return [str(cause.hypothesis) for cause in diagnosis.causes]


def scaled(factors):
    return {name: change_node(GRAPH.nodes[name], settings={"factor": factor})[name] for name, factor in factors.items()}


def times(name, factor, index=None):
    operation = GRAPH.nodes[name].operation
    pair = multiply_by(factor)
    changed = transform_output(operation, pair) if index is None else transform_input(operation, index, pair)
    return change_node(GRAPH.nodes[name], changed)


def in_blocks(*parts):
    return dict(chain.from_iterable(part(attention).items() for attention in ATTENTION for part in parts))


def unscaled(attention):
    return scaled({f"{attention}.q_scaled": 1.0})


def right_scale(attention):
    return GRAPH.nodes[f"{attention}.q_scaled"].settings["factor"]


def last_scores(attention):
    return GRAPH.nodes[f"{attention}.probabilities"].inputs[0]


def softmax_times(factor):
    return lambda attention: times(f"{attention}.probabilities", factor or right_scale(attention), 0)


def named(name, detail):
    """A catalogue's mistake in every block."""
    mistake = mistake_named(name)
    return dict(
        chain.from_iterable(
            changes.items() for node in GRAPH.nodes for text, changes in mistake.plant(GRAPH, node) if text == detail
        )
    )


CASES = {
    "the scale after the bias, inside the softmax": (
        "the scale 1/√d is applied after the bias is added, and multiplies the bias too (to the scores with bias and "
        "mask, inside the softmax)",
        in_blocks(unscaled, softmax_times(None)),
    ),
    "the scale after the bias, dumped": (
        "the scale 1/√d is applied after the bias is added, and multiplies the bias too (to the scores with bias and "
        "mask)",
        in_blocks(unscaled, lambda attention: times(last_scores(attention), right_scale(attention))),
    ),
    "powers of 2": (
        "the softmax takes powers of 2, and only a part of the scores is multiplied by log2(e) for that (into q's "
        "scale: bias and mask count only ln 2 = 0.6931 times)",
        in_blocks(lambda attention: times(f"{attention}.q_scaled", math.log2(math.e)), softmax_times(math.log(2))),
    ),
    "powers of 2, with the bias": (
        "the softmax takes powers of 2, and only a part of the scores is multiplied by log2(e) for that (into q's "
        "scale and the bias: the mask counts only ln 2 = 0.6931 times, the bias multiplied where it is added)",
        in_blocks(
            lambda attention: times(f"{attention}.q_scaled", math.log2(math.e)),
            lambda attention: times(f"{attention}.biased_scores", math.log2(math.e), 1),
            softmax_times(math.log(2)),
        ),
    ),
    "powers of e": (
        "the queries are scaled by something else (by log2(e)/√d, as for powers of 2)",
        in_blocks(lambda attention: times(f"{attention}.q_scaled", math.log2(math.e))),
    ),
    "a constant": (
        "the queries are scaled by something else (by the constant 0.176777 = 1/√32 in every block)",
        scaled(dict.fromkeys(SCALES, 32**-0.5)),
    ),
    "the right one of the last stage": (
        "the queries are scaled by something else (by the constant 0.353553 = 1/√8 in every block)",
        scaled(dict.fromkeys(SCALES, 8**-0.5)),
    ),
    "any constant": (
        "the queries are scaled by something else (by the constant 0.3 in every block)",
        scaled(dict.fromkeys(SCALES, 0.3)),
    ),
    "a factor": (
        "all of it is multiplied (by 0.3)",
        in_blocks(lambda attention: times(f"{attention}.q_scaled", 0.3)),
    ),
    "the softmax over a window": (
        "the softmax runs over the wrong axis (over heads, queries and keys of a window together)",
        named("softmax-axis", "over heads, queries and keys of a window together"),
    ),
    "the softmax over an image": (
        "the softmax runs over the wrong axis (over windows, heads, queries and keys of an image together)",
        named("softmax-axis", "over windows, heads, queries and keys of an image together"),
    ),
    "columns and channels": (
        "the map is rolled along other axes (along (column, channel) in place of (row, column), there and back)",
        named("roll-other-axes", "along (column, channel) in place of (row, column), there and back"),
    ),
}


@pytest.mark.parametrize(("says", "changes"), CASES.values(), ids=CASES)
def test_one_cause_in_all_blocks(says, changes):
    assert causes(changes) == [says]


def test_where_the_biased_scores_are_not_dumped():
    changes = in_blocks(unscaled, softmax_times(None))
    (cause,) = causes(changes, without=("scores",))
    assert cause.startswith("the scale 1/√d is applied after the bias is added")


def test_a_scale_of_a_single_block_is_no_constant_of_all():
    assert causes(scaled({SCALES[0]: 0.3})) == ["all of it is multiplied (by 0.734847 = √27/√50)"]
