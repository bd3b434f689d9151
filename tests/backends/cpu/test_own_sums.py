"""Gradients of small weights, which parts of the work add up for themselves, over many tiles."""

import numpy as np
import pytest

from npswin import ops
from npswin.backends import cpu
from npswin.backends.cpu.tile.weight_gradient import sums_by_part
from npswin.ops.window_attention import AttentionSpec
from tests.backends.comparison import call_op
from tests.backends.cpu.settings import cpu_settings

CHANNELS, HEADS, WINDOW = 12, 2, 4
SHAPE = (2, 48, 48, CHANNELS)  # 18 tiles of windows and, with small tiles, 288 of tokens
SPEC = AttentionSpec(num_heads=HEADS, window_size=WINDOW, shift_size=1)


def weights(op, rng):
    """The branch's parameters in the order of the op."""
    hidden = 4 * CHANNELS if op == "mlp_branch" else 3 * CHANNELS
    outputs = 4 * CHANNELS if op == "mlp_branch" else CHANNELS
    shapes = [(CHANNELS,), (CHANNELS,), (hidden, CHANNELS), (hidden,), (CHANNELS, outputs), (CHANNELS,)]
    if op == "attention_branch":
        shapes.append(((2 * WINDOW - 1) ** 2, HEADS))
    return [0.3 * rng.standard_normal(shape) for shape in shapes]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("op", ["mlp_branch", "attention_branch"])
def test_own_sums_equal_the_definition(op, threads):
    rng = np.random.default_rng(0)
    args = [rng.standard_normal(SHAPE), *weights(op, rng)]
    kwargs = {"path_scale": np.array([0.5, 2.0])} | ({"spec": SPEC} if op == "attention_branch" else {})
    dy = rng.standard_normal(SHAPE)
    wanted = call_op(ops, op, args, kwargs, dy)
    assert sums_by_part(8 * CHANNELS**2 * 8, 18, threads) == (1 if threads == 1 else 8)
    with cpu_settings(threads, tile_bytes=1):
        found = call_op(cpu, op, args, kwargs, dy)
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10)
