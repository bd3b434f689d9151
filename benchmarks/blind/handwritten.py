"""Derivatives that are written by hand."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class _Handwritten(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, function: Callable[..., Tensor], derivative: Callable[..., Any], *inputs: Tensor) -> Tensor:
        ctx.save_for_backward(*inputs)
        ctx.derivative = derivative
        return function(*inputs)

    @staticmethod
    def backward(ctx: Any, *dy: Tensor) -> Any:
        gradients = ctx.derivative(*dy, *ctx.saved_tensors)
        return None, None, *(gradients if isinstance(gradients, tuple) else (gradients,))


def handwritten(function: Callable[..., Tensor], derivative: Callable[..., Any], *inputs: Tensor) -> Tensor:
    """function(*inputs), with a derivative written by hand: from dy and the inputs, the gradient of each input."""
    result: Tensor = _Handwritten.apply(function, derivative, *inputs)
    return result
