"""`smooth_l1_loss`."""

from typing import Any

from npswin.backends.cuda.weighted_loss import derivatives, weighted_sum


def smooth_l1_loss_forward(
    x: Any, targets: Any, weights: Any = None, divisor: float | None = None, beta: float = 1.0
) -> tuple[Any, Any]:
    """See `npswin.ops.smooth_l1_loss_forward`."""
    return weighted_sum("smooth_l1_loss", x, targets, weights, divisor, beta)


def smooth_l1_loss_backward(dloss: Any, cache: Any) -> Any:
    """See `npswin.ops.smooth_l1_loss_backward`."""
    return derivatives("smooth_l1_loss", dloss, cache)
