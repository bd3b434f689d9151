"""Records what PyTorch modules compute by functions: attention in one call, softmax, and dropout that is no module."""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

ROUNDING = {"torch.float64": 1e-9, "torch.float32": 1e-4}  # relative
ROUNDING_OF_16_BITS = 0.05


@dataclass
class Functions:
    """What is done with the results of functions.

    Attributes:
        record: called with the name of a tensor in its block, such as "attn.context", and the tensor.
        dropped: called with the input and the output of dropout.
        left_on: called with the kind of a random operation, and its rate.
    """

    record: Callable[[str, Any], None]
    dropped: Callable[[Any, Any], None]
    left_on: Callable[[str, float], None]

    def watched(self) -> AbstractContextManager[Any]:
        """A context in which every function of PyTorch's that is called passes through here."""
        torch, call = sys.modules["torch"], self._call

        class Mode(torch.overrides.TorchFunctionMode):  # type: ignore[name-defined]
            def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
                return call(function, args, kwargs or {})

        mode: AbstractContextManager[Any] = Mode()
        return mode

    def _call(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        name = getattr(function, "__name__", "")
        if name == "scaled_dot_product_attention":
            self._random_attention(function, args, kwargs)
        result = function(*args, **kwargs)
        if name == "scaled_dot_product_attention":
            self.record("attn.context", result)
        elif name == "softmax":
            self.record("attn.probabilities", result)
        elif name == "dropout" and (rate := _rate_of_dropout(args, kwargs)):
            self.left_on("dropout", rate)
            self.dropped(_argument(args, kwargs, 0, "input", None), result)
        return result

    def _random_attention(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Record the probabilities after dropout of an attention that does not return them.

        They are its result for the identity matrix in place of v, with the same random numbers; unless a kernel draws
        others for a v of this width.
        """
        torch, rate = sys.modules["torch"], float(_argument(args, kwargs, 4, "dropout_p", 0.0))
        if not rate:
            return
        self.left_on("attention dropout", rate)
        value = _argument(args, kwargs, 2, "value", None)
        identity = torch.eye(value.shape[-2], dtype=value.dtype, device=value.device)
        identity = identity.expand(*value.shape[:-2], *identity.shape)

        def attention(v: Any) -> Any:
            with torch.random.fork_rng([value.device] if value.is_cuda else []), torch.no_grad():
                if len(args) > 2:
                    return function(*args[:2], v, *args[3:], **kwargs)
                return function(*args, **{**kwargs, "value": v})

        probabilities, context = attention(identity), attention(value)
        allowed = ROUNDING.get(str(value.dtype), ROUNDING_OF_16_BITS) * float(context.norm())
        if float((probabilities @ value.detach() - context).norm()) <= allowed:
            self.record("attn.probabilities", probabilities)


def _rate_of_dropout(args: tuple[Any, ...], kwargs: dict[str, Any]) -> float:
    """The rate of a call of dropout, 0 where it is switched off."""
    return float(_argument(args, kwargs, 1, "p", 0.5)) if _argument(args, kwargs, 2, "training", True) else 0.0


def _argument(args: tuple[Any, ...], kwargs: dict[str, Any], place: int, name: str, default: Any) -> Any:
    return args[place] if len(args) > place else kwargs.get(name, default)
