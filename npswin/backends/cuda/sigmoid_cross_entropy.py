"""`sigmoid_cross_entropy`."""

from typing import Any

from npswin.backends.cuda.weighted_loss import derivatives, weighted_sum


def sigmoid_cross_entropy_forward(
    logits: Any, targets: Any, weights: Any = None, divisor: float | None = None
) -> tuple[Any, Any]:
    """See `npswin.ops.sigmoid_cross_entropy_forward`."""
    return weighted_sum("sigmoid_cross_entropy", logits, targets, weights, divisor)


def sigmoid_cross_entropy_backward(dloss: Any, cache: Any) -> Any:
    """See `npswin.ops.sigmoid_cross_entropy_backward`."""
    return derivatives("sigmoid_cross_entropy", dloss, cache)
