"""Windows, attention within them, and the fused branches of a block."""

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from npswin.ops.window_attention import AttentionSpec
from npswin.ops.windows import count_windows
from tests.backends.op_cases.case import (
    CHANNELS,
    Case,
    draw_path_scale,
    dropout_mask,
    generator,
    lead_axes,
    map_size,
    maybe,
    norm_cancels,
    norm_parameters,
    product,
    weight_parameter,
)


@dataclass
class _Windows:
    """Sizes of a map that is cut into windows: whole, with padding, or smaller than a window."""

    batch: int
    height: int
    width: int
    side: int
    shift_size: int

    @property
    def count(self):
        return self.batch * count_windows(self.height, self.width, self.side)


def _windows(draw, large):
    batch, height, width = map_size(draw, large)
    side = draw(st.integers(1, 8 if large else 5))
    return _Windows(batch, height, width, side, draw(st.integers(0, side - 1)))


def window_partition(draw, large):
    rng, cut = generator(draw), _windows(draw, large)
    return Case(
        [rng.standard_normal((cut.batch, cut.height, cut.width, draw(CHANNELS))), cut.side, cut.shift_size], rng
    )


def window_reverse(draw, large):
    rng, cut = generator(draw), _windows(draw, large)
    windows = rng.standard_normal((cut.count, cut.side**2, draw(CHANNELS)))
    return Case([windows, (cut.height, cut.width), cut.side, cut.shift_size], rng)


def _table(draw, rng, side, heads):
    relative = (2 * side - 1) ** 2
    shape = draw(st.sampled_from([(relative, heads), (relative, 1), (side**2, side**2)]))
    return rng.standard_normal(shape)


def position_bias(draw, _):
    rng, side = generator(draw), draw(st.integers(1, 7))
    return Case([_table(draw, rng, side, draw(st.integers(1, 5))), side], rng, length=side**2)


def _attention(draw, large):
    """qkv, bias, mask, num_heads."""
    rng, windows, images = generator(draw), draw(st.integers(1, 5)), draw(st.integers(1, 3))
    tokens, heads, dim = draw(st.integers(1, 64 if large else 20)), draw(st.integers(1, 4)), draw(st.integers(1, 33))
    qkv = rng.standard_normal((images * windows, tokens, 3 * heads * dim))
    bias = maybe(draw, rng.standard_normal((draw(st.sampled_from([1, heads])), tokens, tokens)))
    mask = np.where(rng.random((windows, tokens, tokens)) < 0.3, draw(st.sampled_from([-100.0, -np.inf])), 0.0)
    mask[:, np.arange(tokens), np.arange(tokens)] = 0
    return rng, [qkv, bias, maybe(draw, mask), heads], (images * windows, heads, tokens, tokens)


def attention(draw, large):
    rng, args, shape = _attention(draw, large)
    return Case(args, rng, {"drop_mask": dropout_mask(draw, rng, *shape)}, length=max(args[0].shape))


def attention_probabilities(draw, large):
    rng, args, _ = _attention(draw, large)
    return Case(args, rng, length=max(args[0].shape))


def window_attention(draw, large):
    rng, cut, channels = generator(draw), _windows(draw, large), draw(CHANNELS)
    heads, dim = draw(st.integers(1, 4)), draw(st.integers(1, 33))
    inner_dim, tokens = heads * dim, cut.side**2
    args = [
        rng.standard_normal((cut.batch, cut.height, cut.width, channels)),
        weight_parameter(rng, 3 * inner_dim, channels),
        maybe(draw, rng.standard_normal(3 * inner_dim)),
        weight_parameter(rng, channels, inner_dim),
        maybe(draw, rng.standard_normal(channels)),
        maybe(draw, _table(draw, rng, cut.side, heads)),
    ]
    mask_value = draw(st.sampled_from([-100.0, -np.inf]))
    kwargs = {"spec": AttentionSpec(heads, cut.side, cut.shift_size, mask_value)}
    if draw(st.integers(0, 3)) == 0:
        kwargs["attn_drop_mask"] = dropout_mask(draw, rng, cut.count, heads, tokens, tokens)
        kwargs["proj_drop_mask"] = dropout_mask(draw, rng, cut.count, tokens, channels)
    return Case(args, rng, kwargs, length=max(channels, 3 * inner_dim, cut.count * tokens))


def _branch(case, draw):
    """The same with a norm before it and a residual connection after it."""
    (x, *weights), rng = case.args, case.rng
    case.kwargs["path_scale"] = draw_path_scale(draw, rng, len(x))
    case.args = [x, *norm_parameters(rng, x.shape[-1]), *weights]
    case.cancelled = norm_cancels(x)
    if x.shape[-1] == 1:  # the norm leaves β of every token; all keys are equal, and the derivatives of scores cancel
        case.least_scale = 1.0
    return case


def attention_branch(draw, large):
    return _branch(window_attention(draw, large), draw)


def _mlp(draw, lead):
    rng, channels, hidden = generator(draw), draw(CHANNELS), draw(st.one_of(st.integers(1, 9), st.integers(1, 400)))
    args = [
        rng.standard_normal((*lead, channels)),
        weight_parameter(rng, hidden, channels),
        maybe(draw, rng.standard_normal(hidden)),
        weight_parameter(rng, channels, hidden),
        maybe(draw, rng.standard_normal(channels)),
    ]
    masks = {}
    if draw(st.integers(0, 3)) == 0:
        masks["hidden_drop_mask"] = dropout_mask(draw, rng, *lead, hidden)
        masks["output_drop_mask"] = dropout_mask(draw, rng, *lead, channels)
    return Case(args, rng, masks, length=max(channels, hidden, product(lead)))


def mlp(draw, large):
    return _mlp(draw, lead_axes(draw, large))


def mlp_branch(draw, large):
    return _branch(_mlp(draw, map_size(draw, large)), draw)


CASES = (
    attention,
    attention_branch,
    attention_probabilities,
    mlp,
    mlp_branch,
    position_bias,
    window_attention,
    window_partition,
    window_reverse,
)
