"""Multi-head self-attention inside windows (section 3.2, equation 4).

h heads of d channels each; a window has N = M² tokens, an image nW windows. The bias comes from
`npswin.ops.position_bias`, the mask of shifted windows from `npswin.ops.windows.shift_mask`.
"""

from typing import Any

import numpy as np

from npswin.ops.arguments import Axes, integer
from npswin.ops.description import op
from npswin.ops.dropout import dropout_backward, dropout_forward
from npswin.ops.softmax import softmax_backward, softmax_forward
from npswin.types import Array


def split_heads(qkv: Array, num_heads: int) -> tuple[Array, Array, Array]:
    """(B·nW, N, 3hd) -> q, k, v of (B·nW, h, N, d) each. The columns are ordered (q|k|v, head, channel)."""
    windows, tokens, columns = qkv.shape
    q, k, v = qkv.reshape(windows, tokens, 3, num_heads, columns // (3 * num_heads)).transpose(2, 0, 3, 1, 4)
    return q, k, v


def merge_heads(heads: Array) -> Array:
    """(..., h, N, d) -> (..., N, hd): the heads of a token side by side."""
    merged = heads.swapaxes(-3, -2)
    return merged.reshape(*merged.shape[:-2], -1)


def unmerge_heads(merged: Array, num_heads: int) -> Array:
    """(..., N, hd) -> (..., h, N, d): the transpose of `merge_heads`."""
    return merged.reshape(*merged.shape[:-1], num_heads, -1).swapaxes(-3, -2)


def _check_windows(qkv: Array, mask: Array | None, **_: Any) -> None:
    """An image's windows have a mask each, so their number divides that of the batch."""
    if mask is not None and len(qkv) % len(mask):
        raise ValueError(f"mask: got {len(mask)} windows, expected a divisor of {len(qkv)}, the windows of qkv")


@op(
    qkv="windows N 3*h*d",
    bias=Axes("h N N", "1 N N"),
    mask="nW N N",
    num_heads=integer("h", at_least=1),
    also=_check_windows,
)
def attention_probabilities(qkv: Array, bias: Array | None, mask: Array | None, num_heads: int) -> Array:
    """SoftMax(q kᵀ/√d + bias + mask): the probability with which each query attends to each key.

    Args:
        qkv: (B·nW, N, 3hd).
        bias: (h, N, N), (1, N, N) or None.
        mask: (nW, N, N) or None.
        num_heads: h.

    Returns:
        (B·nW, h, N, N), each row summing to 1.
    """
    q, k, _ = split_heads(qkv, num_heads)
    scores = (q * q.shape[-1] ** -0.5) @ k.swapaxes(-1, -2)
    if bias is not None:
        scores += bias
    if mask is not None:
        shape = scores.shape
        scores = scores.reshape(-1, mask.shape[0], *shape[1:])
        scores += mask[:, None]
        scores = scores.reshape(shape)
    return softmax_forward(scores)[0]


@op(
    qkv="windows N 3*h*d",
    bias=Axes("h N N", "1 N N"),
    mask="nW N N",
    num_heads=integer("h", at_least=1),
    drop_mask="windows h N N",
    also=_check_windows,
)
def attention_forward(
    qkv: Array, bias: Array | None, mask: Array | None, num_heads: int, drop_mask: Array | None = None
) -> tuple[Array, Any]:
    """SoftMax(q kᵀ/√d + bias + mask) v for each window and head, the heads side by side.

    Args:
        qkv: (B·nW, N, 3hd), columns ordered (q|k|v, head, channel).
        bias: (h, N, N), (1, N, N) shared by the heads, or None.
        mask: (nW, N, N) or None; window b·nW + w of the batch takes mask[w].
        num_heads: h.
        drop_mask: (B·nW, h, N, N), attention dropout from `draw_mask`, or None.

    Returns:
        y (B·nW, N, hd) and the cache for the backward pass.

    Test: tests/ops/test_gradients.py::test_attention
    """
    probabilities = attention_probabilities(qkv, bias, mask, num_heads)
    kept, drop_cache = dropout_forward(probabilities, drop_mask)
    v = split_heads(qkv, num_heads)[2]
    y = merge_heads(kept @ v)
    bias_heads = None if bias is None else bias.shape[0]
    return y, (qkv, probabilities, kept, drop_cache, num_heads, bias_heads)


def attention_backward(dy: Array, cache: Any) -> tuple[Array, Array | None]:
    """Derivatives of o = (D∘P) v, P = SoftMax(S), S = q kᵀ/√d + bias + mask, window by window and head by head.

    o is y, split by heads; D is the dropout mask (1 without dropout); ∘ multiplies entry by entry.

        o_ic = Σ_j D_ij P_ij v_jc      dv = (D∘P)ᵀ do      dP = D ∘ (do vᵀ)      dS = softmax_backward(dP)
        S_ij = Σ_c q_ic k_jc /√d       dq = dS k/√d        dk = dSᵀ q/√d
        dbias = Σ dS over the windows (and over the heads that share it); the mask is a constant

    Args:
        dy: (B·nW, N, hd).

    Returns:
        dqkv (B·nW, N, 3hd) and dbias of the bias' shape, or None.
    """
    qkv, probabilities, kept, drop_cache, num_heads, bias_heads = cache
    q, k, v = split_heads(qkv, num_heads)
    scale = q.shape[-1] ** -0.5
    do = unmerge_heads(dy, num_heads)

    dqkv = np.empty_like(qkv)
    dq, dk, dv = split_heads(dqkv, num_heads)  # views: writing them fills dqkv
    dv[...] = kept.swapaxes(-1, -2) @ do
    dprobabilities = dropout_backward(do @ v.swapaxes(-1, -2), drop_cache)
    dscores = softmax_backward(dprobabilities, probabilities)
    dq[...] = dscores @ k
    dq *= scale
    dk[...] = dscores.swapaxes(-1, -2) @ q
    dk *= scale

    dbias = None
    if bias_heads is not None:
        dbias = dscores.sum(axis=0)
        if bias_heads == 1:
            dbias = dbias.sum(axis=0, keepdims=True)
    return dqkv, dbias
