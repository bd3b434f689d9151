"""Cross-entropy between the softmax of logits and a distribution over the classes."""

from typing import Any

import numpy as np

from npswin.ops.description import op
from npswin.types import Array


@op(logits="rows K", targets="rows K")
def cross_entropy_forward(logits: Array, targets: Array) -> tuple[Any, Any]:
    """L = −(1/B) Σ_b Σ_k t_bk log p_bk, where log p = x − log Σ exp(x).

    Args:
        logits: (B, K).
        targets: (B, K), each row a distribution.

    Returns:
        the loss, a scalar of the logits' dtype, and the cache for the backward pass.

    Test: tests/ops/test_gradients.py::test_cross_entropy
    """
    shifted = logits - logits.real.max(axis=-1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    loss = -(targets * log_p).sum() / logits.dtype.type(len(logits))
    return loss, (log_p, targets)


def cross_entropy_backward(dloss: Any, cache: Any) -> Array:
    """dx = (p Σ_k t_k − t) / B: with Σ t = 1, the predicted distribution minus the target.

    Args:
        dloss: scalar, 1 for the loss itself.

    Returns:
        dlogits (B, K).
    """
    log_p, targets = cache
    dlogits = np.exp(log_p) * targets.sum(axis=-1, keepdims=True) - targets
    dlogits *= log_p.dtype.type(dloss) / log_p.dtype.type(len(log_p))
    return dlogits
