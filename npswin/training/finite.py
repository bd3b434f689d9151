"""NaN and infinity: found where they first appear, and named.

On a GPU nobody waits to look at the numbers of each step: these functions then let everything pass, unless they are
told to wait. The loss and the gradients' norm tell, see `npswin.training.learner.settled`.
"""

import math
from collections.abc import Iterable

import numpy as np

from npswin.backends import dispatch
from npswin.devices import on_gpu
from npswin.training.trainable import Trainable
from npswin.types import Array


class NonFiniteError(ArithmeticError):
    """A number that is NaN or infinite where training cannot go on with it; the message names the first tensor."""


def require_finite(kind: str, tensors: Iterable[tuple[str, Array]]) -> None:
    """Raise a NonFiniteError for the first tensor that has a NaN or an infinite entry.

    Args:
        kind: what the tensors are, e.g. "gradient".
        tensors: (name, array) in the order to look through.
    """
    for name, tensor in tensors:
        finite = np.isfinite(tensor)
        if not finite.all():
            kinds = "NaN" if np.isnan(tensor).any() else "Inf"
            bad = tensor.size - int(np.count_nonzero(finite))
            raise NonFiniteError(f"{kinds} in {kind} {name}: {bad} of {tensor.size} entries")


def require_finite_forward(model: Trainable, images: Array, logits: Array, loss: float, waits: bool = False) -> None:
    """Where logits or loss are not finite, look for what went wrong before them, in the order of computation.

    Args:
        model: its parameters are looked at, then, where it offers `activations`, the output of each layer.
        images: (B, c, H, W), finite.
        logits: (B, K), the model's answer.
        loss: of the logits.
        waits: whether to look on a GPU, too.

    Raises:
        NonFiniteError: for the first parameter, activation, logits or loss that is not finite.
    """
    if (on_gpu(logits) and not waits) or (math.isfinite(loss) and np.isfinite(logits).all()):
        return
    require_finite("parameter", model.params.items())
    activations = getattr(model, "activations", None)
    if activations is not None:
        require_finite("the output of", activations(images))
    require_finite("the model's", [("logits", logits)])
    raise NonFiniteError(f"the loss is {loss}, though the logits are finite")


def require_finite_gradients(model: Trainable, norm: float) -> None:
    """Where the gradients' norm is not finite, name the gradient that went wrong first: they come last to first.

    Args:
        model: its `grads` are looked at.
        norm: of all of them together.

    Raises:
        NonFiniteError: for the first of them that is not finite.
    """
    if not on_gpu(norm) and not math.isfinite(norm):
        require_finite("the gradient of", reversed(model.grads.items()))
        raise NonFiniteError(f"the norm of all gradients is {norm}, though each of them is finite")


def require_finite_weights(model: Trainable, waits: bool = False) -> None:
    """Look at the weights that an update left.

    Args:
        model: its `params` are looked at.
        waits: whether to do so on a GPU, too.

    Raises:
        NonFiniteError: for the first of them that is not finite.
    """
    params = model.params
    if on_gpu(next(iter(params.values()))) and not waits:
        return
    if not math.isfinite(dispatch.global_norm(params.values())):
        require_finite("the updated parameter", model.params.items())
        raise NonFiniteError("the norm of all parameters is infinite, though each of them is finite")
