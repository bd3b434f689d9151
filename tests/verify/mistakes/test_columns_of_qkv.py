"""The columns of qkv in another order of (q|k|v, head, d): one mistake of q, k and v, in every block."""

from itertools import permutations

import numpy as np
import pytest

from npswin.verify import diagnose
from npswin.verify.mistakes.mistake import change_node, gather, transform_input
from tests.verify.keys import computed, odd_trace

AXES = ("q|k|v", "head", "d")
KEY = odd_trace()  # of one, two and three heads
BLOCKS = [name.removesuffix(".attn.q") for name in KEY.graph.nodes if name.endswith(".attn.q")]


def taken_as(order, heads):
    """From (q|k|v, head, d) to the order by an index: the column of each part, head and d."""

    def rearranged(qkv):
        sizes = [3, heads, qkv.shape[-1] // 3 // heads]
        columns = np.arange(qkv.shape[-1]).reshape([sizes[axis] for axis in order])
        return qkv[..., np.einsum(columns, order, (0, 1, 2)).reshape(-1)]

    return rearranged


@pytest.mark.parametrize("order", [order for order in permutations(range(3)) if order != (0, 1, 2)])
def test_each_order_is_one_mistake_of_q_k_and_v(order):
    changes = {}
    for name in (f"{block}.attn.{letter}" for block in BLOCKS for letter in "qkv"):
        node = KEY.graph.nodes[name]
        operation = transform_input(node.operation, 0, gather(taken_as(order, node.settings["num_heads"])))
        changes |= change_node(node, operation)
    diagnosis = diagnose(KEY, computed(KEY.graph.replaced(changes), KEY.sources, "float32", seed=0))
    (cause,) = diagnosis.causes
    assert f"its columns are taken as ({', '.join(AXES[axis] for axis in order)})" in str(cause.hypothesis)
    assert not diagnosis.unexplained
