"""`l1_loss`."""

from typing import Any

from npswin.backends.cuda.weighted_loss import derivatives, weighted_sum


def l1_loss_forward(x: Any, targets: Any, weights: Any = None, divisor: float | None = None) -> tuple[Any, Any]:
    """See `npswin.ops.l1_loss_forward`."""
    return weighted_sum("l1_loss", x, targets, weights, divisor)


def l1_loss_backward(dloss: Any, cache: Any) -> Any:
    """See `npswin.ops.l1_loss_backward`."""
    return derivatives("l1_loss", dloss, cache)
